"""Choosing episodes by an expression: against Python's own evaluation of each episode, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.expression import DEEPEST, LONGEST
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.where import chosen
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from tests.conftest import made_episode
from tests.pipeline.dataset.made import written

MISSIONS = ("", "go to the red ball", "pick up a key", 'a "b" return')
COUNT = 40


def made_up() -> list[Episode]:
    rng = np.random.default_rng(0)
    return [
        made_episode(
            rng,
            int(rng.integers(1, 6)),
            seed=int(rng.integers(-1, 7)),
            success=int(rng.integers(-1, 2)),
            terminated=bool(rng.integers(2)),
            truncated=bool(rng.integers(2)),
            end_reason=str(rng.choice(["terminated", "time_limit"])),
            mission=str(rng.choice(MISSIONS)),
            has_final_reward=bool(number % 5),
            reset_info={"pos/x": np.float32(number / 4), "level.one": np.int8(number % 2)}
            | ({"level": np.int16(number % 4)} if number % 3 else {}),
        )
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EpisodeDataset:
    folder = tmp_path_factory.mktemp("where")
    return EpisodeDataset(folder, written(folder, made_up()))


def numbers(expression: str, dataset: EpisodeDataset) -> list[int]:
    return np.flatnonzero(chosen(expression, dataset)).tolist()


def facts(number: int, episode: Episode) -> dict[str, object]:
    """What Python knows of an episode, with names that it understands."""
    names = ("seed", "length", "success", "terminated", "truncated", "mission", "end_reason")
    names += ("has_final_observation", "has_final_reward")
    known = {name: getattr(episode, name) for name in names}
    return known | {"episode": number, "RETURN": episode.total_reward, "x": float(episode.reset_info["pos/x"])}


NUMBERS = st.one_of(
    st.sampled_from(["episode", "seed", "length", "success", "RETURN", "x", "terminated", "has_final_reward"]),
    st.integers(-9, 40).map(str),
    st.floats(-4, 4, width=16).map(lambda number: f"{number!r}"),
)
TEXTS = st.one_of(st.sampled_from(["mission", "end_reason"]), st.sampled_from([*MISSIONS, "go", "t"]).map(repr))


def calculated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda each: f"({' '.join(each)})"),
        st.tuples(inner, st.sampled_from("/%"), st.sampled_from(["length", "3", "-2", "0.5"])).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        inner.map("-{}".format),
        inner.map("abs({})".format),
    )


SUMS = st.recursive(NUMBERS, calculated, max_leaves=4)
ORDERS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
IN = st.sampled_from(["in", "not in"])
COMPARED = st.one_of(
    st.tuples(SUMS, ORDERS, SUMS).map(" ".join),
    st.tuples(SUMS, ORDERS, SUMS, ORDERS, SUMS).map(" ".join),
    st.tuples(TEXTS, st.sampled_from(["==", "!=", "in", "not in"]), TEXTS).map(" ".join),
    st.tuples(TEXTS, IN, st.lists(st.sampled_from(MISSIONS), max_size=3).map(repr)).map(" ".join),
    st.tuples(NUMBERS, IN, st.lists(st.integers(-1, 9), max_size=3).map(repr)).map(" ".join),
    st.sampled_from(["terminated", "truncated", "has_final_observation", "True", "False"]),
)
TRUTHS = st.recursive(
    COMPARED,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda each: f"({' '.join(each)})"),
        st.lists(inner, min_size=2, max_size=3).map(" and ".join),
        inner.map("not ({})".format),
    ),
    max_leaves=5,
)


@given(TRUTHS)
@settings(max_examples=150)
def test_each_episode_is_chosen_as_python_itself_would_choose_it(dataset: EpisodeDataset, python: str):
    code = compile(python, "where", "eval")
    wanted = [number for number, each in enumerate(dataset) if eval(code, {"abs": abs}, facts(number, each))]
    ours = python.replace("RETURN", "return").replace("x", "reset_info.pos.x")
    if wanted:
        assert numbers(ours, dataset) == wanted
    else:
        with pytest.raises(InvalidInput, match="None of the 40 episodes"):
            chosen(ours, dataset)


def test_what_an_episode_does_not_have_is_never_true(dataset: EpisodeDataset):
    level = {number: number % 4 for number in range(COUNT) if number % 3}
    assert numbers("reset_info.level != 2", dataset) == [n for n, each in level.items() if each != 2]
    assert numbers("not reset_info.level == 2", dataset) == [n for n, each in level.items() if each != 2]
    assert numbers("reset_info.level < 2 or episode < 7", dataset) == [
        n for n in range(COUNT) if n < 7 or level.get(n, 9) < 2
    ]
    assert numbers("reset_info.level >= quantile(reset_info.level, 1)", dataset) == [
        n for n, e in level.items() if e == 3
    ]
    assert numbers("1 / (episode - 3) > 0.2", dataset) == [4, 5, 6, 7]


def test_a_key_of_a_reset_may_hold_a_dot(dataset: EpisodeDataset):
    assert numbers("reset_info.level.one == 1", dataset) == list(range(1, COUNT, 2))


def test_ranks_and_quantiles_are_over_all_episodes(dataset: EpisodeDataset):
    returns = dataset.per_episode("return")
    assert numbers("rank(-return) < 3", dataset) == sorted(np.argsort(-returns)[:3].tolist())
    assert numbers("return > quantile(return, 0.9)", dataset) == sorted(np.argsort(-returns)[:4].tolist())
    assert numbers("rank(1) == 5", dataset) == [5]


def test_lists_of_words_and_names_of_python_are_understood(dataset: EpisodeDataset):
    assert numbers("  return<\n 1e9 and terminated == true and length in (2,3)", dataset) == [
        n for n, each in enumerate(dataset) if each.terminated and each.length in (2, 3)
    ]
    assert numbers("'return' in mission", dataset) == [n for n, e in enumerate(dataset) if "return" in e.mission]


REFUSED = [
    ("__import__('os').system('x')", "of calls only abs, quantile, rank are allowed", 0),
    ("success == 1 and open('x')", "of calls only", 17),
    ("mission.upper() == 'X'", "of calls only", 0),
    ("episode.__class__ == 1", "a dot stands only", 0),
    ("reset_info().level == 1", "a dot stands only", 0),
    ("seed == (lambda: 1)", "a function is not allowed", 9),
    ("seed in [s for s in mission]", "a comprehension is not allowed", 8),
    ("f'{seed}' == mission", "a text with values in it", 0),
    ("seed == (s := 3)", "an assignment is not allowed", 9),
    ("mission[0] == 'a'", "an index is not allowed", 0),
    ("seed == 1 if success else 2", "a condition is not allowed", 0),
    ("seed ** 9 > 1", "powers are not allowed", 0),
    ("9**9**9 > 1", "powers are not allowed", 0),
    ("seed & 1 == 1", "write and", 0),
    ("seed is 1", "write ==", 0),
    ("seed in {1, 2}", "write a list", 8),
    ("seed == None", "this kind of value", 8),
    ("seed == 3j", "this kind of value", 8),
    ("mission == b'go'", "this kind of value", 11),
    ("abs(x=3) > 1", "of calls only", 0),
    ("quantile(*mission) > 1", "a star is not allowed", 9),
    ("seed = 3", "To compare, write ==", 5),
    ("seed == 3 && success == 1", "Write and.", 11),
    ("seed == 3 || success == 1", "Write or.", 11),
    ("!terminated", "Write not.", 0),
    ("(seed == 3", "was never closed", 0),
    ("seed == 'a", "unterminated string", 8),
    ("seed == 1\0", "null bytes", 0),
    ("seed == " + "9" * 5000, "Exceeds the limit", None),
    ("seed == 99999999999999999999", "64 bits", 8),
    ("seed * 9000000000000000000 > 1", "64 bits", 0),
    ("mission > 3", "mission is a text and 3 is a number", 10),
    ("mission > 'a'", "compare it with ==, != or in", 0),
    ("mission + 1 == 2", "mission is a text, where a number is needed", 0),
    ("success", "success is a number, where true or false is needed", 0),
    ("terminated and success", "compare it, as in success == 1", 15),
    ("mission and terminated", 'as in mission == "..."', 0),
    ("seed in 3", "3 is a number; in asks for", 8),
    ("3 in mission", "3 is a number; in asks for", 0),
    ("seed in ['a']", "cannot be compared", 9),
    ("seed in [length]", "a list holds plain values", 9),
    ("[1] == seed", "a list stands only behind in", 0),
    ("quantile(return) > 1", "quantile is written quantile(return, 0.9)", 0),
    ("return > quantile(return, 3)", "from 0 to 1", 26),
    ("return > quantile(return, length)", "from 0 to 1", 26),
    ("rank(return, 3) > 1", "rank is written rank(return)", 0),
]


@pytest.mark.parametrize(("expression", "why", "place"), REFUSED, ids=[each[0][:30] for each in REFUSED])
def test_what_may_not_stand_in_an_expression_is_refused_with_its_place(
    dataset: EpisodeDataset, expression: str, why: str, place: int | None
):
    with pytest.raises(InvalidInput) as error:
        chosen(expression, dataset)
    assert why in str(error.value)
    if place is not None:
        lines = str(error.value).splitlines()
        caret = next(line for line in lines if line.strip().strip("^") == "" and line.strip())
        assert caret.index("^") == place + 2


@pytest.mark.parametrize(
    "expression",
    ["(" * 9000 + "seed" + ")" * 9000, "not " * 4000 + "terminated", "-" * 9000 + "1 > 2", "+".join(["seed"] * 2000)],
)
def test_a_deep_expression_is_refused(dataset: EpisodeDataset, expression: str):
    with pytest.raises(InvalidInput, match=f"nested deeper than {DEEPEST}|too many nested parentheses"):
        chosen(expression, dataset)


def test_a_long_expression_is_shown_around_the_place_that_is_meant(dataset: EpisodeDataset):
    with pytest.raises(InvalidInput, match=f"it may have {LONGEST:,}"):
        chosen("seed == 1 or " * 2000, dataset)
    with pytest.raises(InvalidInput) as error:
        chosen("seed == 1 or " * 100 + "open(3) or " + "seed == 1 or " * 100 + "seed == 2", dataset)
    line, caret = str(error.value).splitlines()[1:3]
    assert line[caret.index("^") :].startswith("open(3) or ")
    assert max(len(line), len(caret)) < 140


def test_an_unknown_name_lists_those_there_are_and_the_nearest(dataset: EpisodeDataset):
    with pytest.raises(UnknownName) as error:
        chosen("success == 1 and retrun > 3", dataset)
    for words in ("return", "reset_info.level", "reset_info.pos.x", "\n" + " " * 19 + "^^^^^^\n"):
        assert words in f"{error.value}\n"
    assert "Nearest: return" in str(error.value)
    for name in ("______", "reset_info.pos", "reset_info.__class__", "Return", "print", "reset_info"):
        with pytest.raises(UnknownName):
            chosen(f"{name} == 1", dataset)


def test_an_expression_that_chooses_nothing_says_how_the_facts_are_distributed(dataset: EpisodeDataset):
    with pytest.raises(InvalidInput) as error:
        chosen("return > 300 and mission in ['x'] and reset_info.level == 9", dataset)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("has: return > 300 and mission in ['x'] and reset_info.level == 9")
    low, high = dataset.per_episode("return").min(), dataset.per_episode("return").max()
    assert lines[1].startswith(f"  return: {low:.6g} to {high:.6g}, half of them up to ")
    assert lines[2].startswith("  mission: '")
    assert lines[2].count("(") == 3
    assert lines[3] == "  reset_info.level: 0 to 3, half of them up to 1.5; 14 episodes do not have it"


def test_an_info_of_a_reset_keeps_its_kind_where_a_part_lacks_it_and_its_name_where_that_has_a_dot(tmp_path: Path):
    resets: list[dict[str, np.generic]] = [{"easy": np.bool_(True), "a.b": np.int64(2**60 + 1)}, {}]
    rng = np.random.default_rng(0)
    episodes = [made_episode(rng, 3, reset_info=reset) for reset in resets]
    parts = written(tmp_path, episodes, "bin", part_bytes=1)
    dataset = EpisodeDataset(tmp_path, parts)
    assert len(parts) == 2
    assert numbers("reset_info.easy", dataset) == [0]
    assert numbers(f"reset_info.a.b == {2**60 + 1}", dataset) == [0]
    assert numbers("episode == 1 or not reset_info.easy", dataset) == [1]


def test_only_the_facts_that_are_named_are_read(dataset: EpisodeDataset, tmp_path: Path):
    parts = written(tmp_path, made_up(), "bin")
    own = EpisodeDataset(tmp_path, parts)
    for file in tmp_path.rglob("*"):
        if file.is_file() and "success" not in file.name and "ends" not in file.name and file.suffix == ".bin":
            file.unlink()
    assert numbers("success == 1", own) == numbers("success == 1", dataset)
