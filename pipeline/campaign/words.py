"""What is wrong with the words of a command, in one or two lines and with the nearest names.

Pure functions of texts: run.py knows Hydra and hands over what Hydra found.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.command import group_of, key_of, typed, with_key, with_words
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.extras import extra_versions

SWEEP = ("-m", "--multirun")

FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
)
"""What Hydra understands of words that begin with a dash."""

CLUSTER = "cluster"
"""The group that says where the jobs of a sweep run."""

PLAIN = ("task", "dataset", "episodes", "states", "frames", "seed", "workers")
"""Settings that people type without a value now and then."""

WRITTEN = "settings are written key=value, for example stage=all domain=toy"

INSIDE = ("as_registered", "player", "render", "writer")
"""Settings of a group that are for the program itself: no message offers them."""

BY_LRAM = ("hdf5", "npz", "npzc", "pkl")
"""Forms whose door has another name than they have."""

NO_TEXT = re.compile(r"=(null|true|false|[-+\d.e]*)$", re.IGNORECASE)
"""What ends a word whose value is no text."""

Choices = Mapping[str, Sequence[str]]
"""The configuration groups and the choices of each."""


def ordered(words: Sequence[str]) -> list[str]:
    """The words with `-m` in front: after a setting, Hydra would refuse all settings that follow it."""
    return [word for word in words if word in SWEEP] + [word for word in words if word not in SWEEP]


def check_words(words: Sequence[str], choices: Choices, keys: Sequence[str]) -> None:
    """Raises InvalidInput for words that say nothing Hydra could tell of in plain words.

    They are a flag that does not exist, a `+` before a key that nothing reads, no key at all, several clusters.
    """
    for place, word in enumerate(words):
        if group_of(word) == CLUSTER:
            _check_cluster(word)
        if (name := word.removeprefix("hydra/launcher=")) in choices.get(CLUSTER, ()):
            ours = f"+{CLUSTER}={name}"
            raise InvalidInput(_instead([word], [ours], f"{word}: write {ours}, which brings its settings along."))
        if word == "hydra/launcher=joblib":
            extra_versions("launchers", "hydra-joblib-launcher")  # raises where it is missing
        if word.startswith("-"):
            _check_flag(word)
        elif word.startswith("+"):
            _check_added(word, choices, keys)
        elif word.startswith("="):
            raise InvalidInput(_spaced(words[max(0, place - 1) : place], word, words[place + 1 : place + 2]))


def _spaced(before: Sequence[str], word: str, after: Sequence[str]) -> str:
    """A word that begins with `=`, such as in `episodes = 5`, between its neighbours where there are some."""
    pieces = [*before, word, *(after if word == "=" else [])]
    message = f"{word} names no setting: {WRITTEN}"
    return message if "=" in pieces[0] else _instead(pieces, ["".join(pieces)], message)


def _check_flag(word: str) -> None:
    name, equals, _ = word.partition("=")
    if name in FLAGS:
        return
    if equals:
        right = word.lstrip("-")
        raise InvalidInput(
            f"Settings have no dashes: {shlex.quote(right)}, not {word}" + _meant(with_words([word], [right]))
        )
    raise unknown_name("flag", name, [flag for flag in FLAGS if flag.startswith("--")])


def _check_cluster(word: str) -> None:
    """All jobs of a sweep run on one cluster and ask it for the same: Hydra would take the first choice it meets."""
    key, _, value = word.partition("=")
    if "," in value and not re.match(r"""[\[{("']""", value):
        plus = "+" if key == "cluster" else ""  # the choice itself is one that not every command has
        one = f"{plus}{key}={value.partition(',')[0]}"
        raise InvalidInput(_instead([word], [one], f"{word}: all jobs of a sweep share one {key_of(word)}."))


def _check_added(word: str, choices: Choices, keys: Sequence[str]) -> None:
    path = word.lstrip("+").partition("=")[0].partition("@")[0]
    first = re.split(r"[./]", path)[0]
    if path in choices or first in (*keys, "hydra") or (first in choices and first != "stage"):
        return  # a part says itself what it does not take; a stage's settings are all there
    raise InvalidInput(f"{word}: {unknown_key(path, dict.fromkeys([*choices, *keys]))}")


def _meant(command: str) -> str:
    """The last line of a message: the whole command as it was typed, mended. Nothing where no command is known."""
    return f"\nYou may mean: {command}" if command else ""


def unknown_choice(path: str, options: Sequence[str], forms: Sequence[str] = ()) -> str:
    """Of `domain/metawrld`, what there is instead. `forms` are the choices of `format`."""
    group, _, name = path.rpartition("/")
    known = [each for each in options if each != "default" or group == "hub"]
    if group == "source" and name in BY_LRAM:
        message = f"There is no source named {name}: what format={name} writes comes in by source=lram."
        return _instead([f"source={name}"], ["source=lram"], message)
    if group == "source" and name in forms:
        back = ", ".join(each for each in known if each in forms or each == "lram")
        return f"format={name} only goes out: nothing reads it as a source. These come in again: {back}."
    return str(unknown_name(group.removeprefix("hydra/"), name, known))


def no_choice(words: Sequence[str], choices: Choices) -> str:
    """A choice that is no text (`embedding=null`), which Hydra does not name."""
    word = next((word for word in words if key_of(word) in choices and NO_TEXT.search(word)), "")
    if not word:
        return "A choice is a name."
    key = key_of(word)
    return _instead([word], [f"~{key}"], f"{word}: a choice is a name. For no {key} at all, take it away: ~{key}")


def unknown_key(path: str, config: Mapping[str, Any], others: Sequence[str] = ()) -> str:
    """Of `retrieval.demoes`, the nearest settings of the composed `config`: there, or anywhere under the same name.

    `others` are the choices of the group that have the setting: `format=bagel` has `format.prefix`.
    """
    parent, _, name = path.rpartition(".")
    inside: Any = config
    for part in parent.split(".") if parent else []:
        inside = inside.get(part) if isinstance(inside, Mapping) else None
    names = [str(key) for key in inside if not str(key).startswith("_")] if isinstance(inside, Mapping) else []
    names = [each for each in names if each not in INSIDE]
    if parent and isinstance(inside, Mapping) and not names:
        return _open(parent, path)
    if others:
        have = f"{' and '.join(others)} {'have' if len(others) > 1 else 'has'} it"
        below = f" Below {parent} there are: {', '.join(sorted(names))}." if names and parent else ""
        return f"There is no setting {path} here; {have}.{below}"
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6) or [n for n in names if n.startswith(name)]
    near = [".".join(filter(None, (parent, each))) for each in close]
    same = [each for each in _paths(config) if each.rpartition(".")[2] == name and each not in near]
    same = [each for each in same if each.startswith("hydra.") == path.startswith("hydra.")]
    near += sorted(same, key=lambda each: each.count("."))[:3]
    if near:
        return f"There is no setting {path}. Nearest: {', '.join(near)}.{_meant(with_key(path, near[0]))}"
    if parent and names:
        return f"There is no setting {path}. Below {parent} there are: {', '.join(sorted(names))}."
    return f"There is no setting {path}. python run.py --help shows those that there are."


def _open(parent: str, path: str) -> str:
    """A setting below one that takes any names, which are added to it."""
    word = next((each for each in typed().words if key_of(each) in (parent, path)), "")
    added = f"+{word}" if word else f"+{path}=..."
    return _instead([word], [added], f"{parent} has no names of its own: put a + before it, {shlex.quote(added)}")


def _paths(config: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every setting by its full name, groups and stages of the composed configuration alone."""
    for key, value in config.items():
        path = f"{above}{key}"
        yield path
        if isinstance(value, Mapping):
            yield from _paths({str(name): each for name, each in value.items()}, f"{path}.")


def several_values(word: str) -> str:
    """`task=a,b` where one value is wanted."""
    key, _, value = word.partition("=")
    jobs = with_words([word], ["-m", word])
    return f"{word} are several values. For a list: {shlex.quote(f'{key}=[{value}]')}" + (
        f"\nFor one job after the other, each with one of them: {jobs}" if jobs else ""
    )


def unreadable(word: str, words: Sequence[str], choices: Choices) -> str:
    """A word that is not of the form `key=value`, or whose value Hydra cannot read."""
    if opened := _open_list(word, words):
        pieces, whole = opened
        first = pieces[0]
        if whole.count("[") > whole.count("]") or "=" in whole[len(first) :]:  # the bracket itself was forgotten
            closed = f"{first}]"
            return _instead([first], [closed], f"A bracket is not closed in {first}: write {shlex.quote(closed)}")
        return _instead(
            pieces,
            [whole],
            f"The shell has cut a list into pieces at its spaces. Put it into quotes: {shlex.quote(whole)}",
        )
    key, equals, value = word.partition("=")
    if len(several := word.split()) > 1 and all("=" in each for each in several):
        one = f"{shlex.quote(word)} is one word for the shell. Put each setting into quotes of its own: {word}"
        return _instead([word], several, one)
    if equals:
        inner = value[1:-1] if re.fullmatch(r'"[^\\]+"', value) else value  # quotes inside of quotes
        text = inner.replace("\\", "\\\\").replace('"', '\\"')
        quoted = f'{key}="{text}"'
        return _instead(
            [word],
            [quoted],
            f"{word} cannot be read. Put a text with special characters into quotes: {shlex.quote(quoted)}",
        )
    return _no_setting(word, words, choices)


def _no_setting(word: str, words: Sequence[str], choices: Choices) -> str:
    """A word without `=`."""
    group = next((name for name, known in choices.items() if word in known), None)
    if group is not None:
        return _instead([word], [f"{group}={word}"], f"{word} is no setting. Did you mean {group}={word}?")
    if word in (*choices, *PLAIN):
        return f"{word} needs a value: {word}=..."
    key, colon, value = word.partition(":")
    if colon and key in (*choices, *PLAIN):
        return _instead([word], [f"{key}={value}"], f"{word} is no setting: {WRITTEN}")
    before = words[words.index(word) - 1] if word in words[1:] else ""
    if "=" in before:
        both = f"{before} {word}"
        return _instead(
            [before, word], [both], f"{word} is no setting. A value with spaces needs quotes: {shlex.quote(both)}"
        )
    return f"{word} is no setting: {WRITTEN}"


def _instead(wrong: Sequence[str], right: Sequence[str], message: str) -> str:
    """A message about some words, with the command in which others stand in their place."""
    return message + _meant(with_words(wrong, right))


def _open_list(word: str, words: Sequence[str]) -> tuple[list[str], str] | None:
    """Of `stage=[collect,` and `report]`: the words up to the bracket that closes the list, and all of them joined.

    None where `word` is no part of such a list.
    """
    start = words.index(word) if word in words else 0
    while start > 0 and "=" not in words[start]:
        start -= 1
    whole, end = words[start], start + 1
    if whole.count("[") <= whole.count("]"):
        return None
    for more in words[start + 1 :]:
        whole += (" " if whole.endswith((",", "[")) else ", ") + more
        end += 1
        if whole.count("[") <= whole.count("]"):
            break
    return list(words[start:end]), whole


def refused(message: str, cause: str, words: Sequence[str]) -> str:
    """Anything else that Hydra does not accept, without its advice, which is about Hydra and not about this program."""
    first = _first_line(message)
    if several := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)'( requires.*)?$", first):
        return several_values(several[1])
    if group := re.match(r"Could not override '([\w/]+)'\. No match in the defaults list", first):
        word = next((each for each in words if each.partition("=")[0] == group[1]), f"{group[1]}=...")
        return _instead(
            [word], [f"+{word}"], f"{word} is no choice that every command has: add it with a plus, +{word}"
        )
    if there := re.match(r"Could not append to config\. An item is already at '(.+?)'", first):
        return _without_plus(there[1], f"{there[1]} is a setting that there is", words)
    if gone := re.match(r"Could not delete from config\. '(.+?)' does not exist", first):
        return _instead([f"~{gone[1]}"], [], f"~{gone[1]} takes away a setting that has no value. Leave it out.")
    if there := re.match(r"(?:Multiple values for (\S+?)\.)|(?:(\S+) appears more than once)", first):
        key = there[1] or there[2]
        return _without_plus(key, f"{key} has a value already", words)
    return ". ".join(line.rstrip(".") for line in (first, _first_line(cause)) if line) + "."


def _without_plus(key: str, what: str, words: Sequence[str]) -> str:
    """A setting that was added, which has a place already: it is written without the plus, and once."""
    added = next((word for word in words if word.startswith("+") and key_of(word) == key), "")
    once = [] if any(key_of(word) == key for word in words if word != added) else [added.lstrip("+")]
    return _instead([added], once, f"{what}: write {key}=... without the plus.")


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0].strip() if message.strip() else ""


def unresolved(message: str) -> str:
    """A value that refers to another one (`${...}`) that is not there, or one that has no default and is not given."""
    key = _key_of(message)
    first = _first_line(message).rstrip(".")
    if key and first.startswith("Missing mandatory value"):
        return f"{key} has no default: write {key}=..."
    return f"The value of {key} cannot be resolved: {first}." if key else f"A value cannot be resolved: {first}."


def part_not_built(message: str, cause: BaseException | None) -> str:
    """A part of the configuration (`policy.function`) whose `_target_` cannot be used."""
    why = _loading_error(str(cause or ""))
    named = re.search(r"target '(.+?)'", message)
    what = f"{named[1]} cannot be imported" if named else _first_line(message).rstrip(".")
    return f"{_key_of(message) or 'A setting'}: {what}" + (f" ({why})." if why else ".")


def _loading_error(cause: str) -> str:
    """Why something cannot be loaded: of Hydra's "Error loading 'os.nothing':", the line after it."""
    lines = [line.strip() for line in cause.strip().splitlines() if line.strip()]
    first = next((line for line in lines if not line.endswith(":")), "")
    return first.removesuffix(".")


def part_not_fitting(message: str, cause: BaseException) -> str:
    """A part that does not take a setting (`+retrieval.x=1`), or cannot do with its value (`retrieval.demos=two`)."""
    part = _key_of(message)
    if unknown := re.search(r"unexpected keyword argument '(\w+)'", str(cause)):
        return f"There is no setting {part or 'here'}.{unknown[1]}: {part or 'what is built'} does not take it."
    return f"A setting of {part or 'a part'} is of the wrong type: {_first_line(str(cause)).rstrip('.')}."


def _key_of(message: str) -> str:
    """The setting that a message of Hydra's or OmegaConf's is about."""
    found = re.search(r"full_key: (?:stage\.\w+\.)?(?:recipe\.)?(\S+)", message)  # a stage is given what lies elsewhere
    return found[1] if found else ""
