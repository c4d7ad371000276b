"""Leaks between the parts of a split, and between datasets that are named, are planted and found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.findings import Finding
from pipeline.doctor.leaks import Other, compared, leaks
from pipeline.doctor.prints import Prints, prints_of, trajectories_in
from pipeline.episode import Episode
from pipeline.errors import ArtifactNotFound
from tests.conftest import made_episode
from tests.pipeline.doctor.given import WHERE, blocks_of_some, stored


def prints_in(episodes: list[Episode]) -> Prints:
    blocks = blocks_of_some(episodes, 1)
    return Prints.joined(
        Prints(each.once("digest"), trajectories_in(each.steps, each.ends), each.once("seed")) for each in blocks
    )


def between(ours: list[Episode], theirs: list[Episode]) -> dict[str, Finding]:
    found = leaks(WHERE, prints_in(ours), [Other("toy/corner/x-test", "another part of its split", prints_in(theirs))])
    return {each.name: each for each in found}


@pytest.fixture
def episodes(rng: np.random.Generator) -> list[Episode]:
    return [made_episode(rng, 3 + number % 4, seed=number) for number in range(20)]


def test_parts_without_a_common_episode_are_no_finding(episodes: list[Episode]):
    assert between(episodes[:12], episodes[12:]) == {}


def test_a_shared_episode_is_an_error_that_names_both_of_its_numbers(episodes: list[Episode]):
    (finding,) = between(episodes[:12], episodes[10:]).values()
    assert (finding.name, finding.severity, finding.where, finding.count) == ("leaked_episodes", "error", WHERE, 2)
    assert finding.examples == ("episode 10 is episode 0 there", "episode 11 is episode 1 there")
    assert "toy/corner/x-test, too, another part of its split" in finding.what


def test_the_same_recording_from_another_file_is_an_error(episodes: list[Episode]):
    single = {name: array.astype(np.float32) for name, array in episodes[0].steps.items() if name != "discount"}
    steps = {**single, "reward": np.zeros(4), "discount": np.ones(4) * [1, 1, 1, 0]}
    (finding,) = between(episodes[:12], [*episodes[12:], Episode(steps)]).values()
    assert (finding.name, finding.severity, finding.count) == ("leaked_trajectories", "error", 1)


def test_a_trajectory_that_the_simulator_repeats_is_a_warning_and_a_common_start_a_note(episodes: list[Episode]):
    found = between(episodes[:12], [*episodes[12:], replace(episodes[3], seed=99)])
    assert {name: each.severity for name, each in found.items()} == {"repeated_across": "warning"}
    found = between(episodes[:12], [*episodes[12:], replace(episodes[15], seed=3)])
    assert {name: (each.severity, each.count) for name, each in found.items()} == {"shared_seeds": ("note", 1)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one task `a-train` and `a-test` that leak, and `b-train` and `b-test` that do not."""
    root = tmp_path_factory.mktemp("across")
    rng = np.random.default_rng(1)
    made = [made_episode(rng, 3, seed=number) for number in range(20)]
    for name, episodes in {
        "a-train": made[:8],
        "a-test": made[5:10],
        "b-train": made[10:16],
        "b-test": made[16:],
    }.items():
        stored(Workspace(str(root)), name, episodes)
    return root


def found_for(workspace: Workspace, name: str, against: tuple[str, ...] = ()) -> dict[str, Finding]:
    dataset: Artifact = workspace.dataset("toy", "corner", name)
    found = compared(dataset, prints_of(EpisodeDataset.of(dataset)), against, workspace)
    return {each.name: each for each in found}


def test_parts_of_one_split_are_compared_by_themselves(root: Path):
    workspace = Workspace(str(root))
    (finding,) = found_for(workspace, "a-train").values()
    assert (finding.name, finding.count, finding.where) == ("leaked_episodes", 3, "toy/corner/a-train")
    assert found_for(workspace, "a-test")["leaked_episodes"].count == 3
    assert found_for(workspace, "b-train") == found_for(workspace, "b-test") == {}


def test_datasets_that_are_named_are_compared(root: Path):
    workspace = Workspace(str(root))
    assert found_for(workspace, "b-train", ("a-train", "b-train")) == {}
    assert "leaked_episodes" in found_for(workspace, "a-train", ("a-test",))
    with pytest.raises(ArtifactNotFound, match="no dataset nothing-v1"):
        found_for(workspace, "b-train", ("nothing-v1",))


def test_a_dataset_of_its_own_with_the_same_episodes_is_a_note(root: Path):
    workspace = Workspace(str(root))
    stored(workspace, "c-v1", list(workspace["toy/corner/b-train"])[:2])
    finding = found_for(workspace, "c-v1")["shared_episodes"]
    assert (finding.severity, finding.count) == ("note", 2)
    assert "toy/corner/b-train, too" in finding.what


@pytest.mark.parametrize("length", [3, 90])
def test_a_stored_dataset_has_the_prints_of_its_blocks(tmp_path: Path, rng: np.random.Generator, length: int):
    episodes = [made_episode(rng, length + number, seed=number) for number in range(4)]
    dataset = EpisodeDataset.of(stored(Workspace(str(tmp_path)), "x-v1", episodes))
    kept, seen = prints_of(dataset), prints_in(episodes)
    for name in ("digests", "trajectories", "seeds"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(seen, name))


def test_what_is_derived_from_a_part_is_compared_with_the_other_part_and_never_with_its_own(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    rng = np.random.default_rng(2)
    whole = EpisodeDataset.of(stored(workspace, "x-v1", [made_episode(rng, 3, seed=number) for number in range(10)]))
    shares = {"parts": {"train": 0.8, "test": 0.2}, "by": "episode", "seed": 0}

    def derived(name: str, of: EpisodeDataset, stage: str, settings: dict, numbers: list[int]) -> EpisodeDataset:
        spec = derived_spec(name, stage, settings, [of])
        return EpisodeDataset.of(derive(workspace, spec, [of], References.of_one(np.array(numbers))))

    train = derived("a", whole, "split", {**shares, "part": "train"}, [0, 1, 2, 3, 4, 5, 6, 7])
    derived("b", whole, "split", {**shares, "part": "test"}, [7, 8, 9])  # episode 7 is on both sides
    derived("good", train, "select", {"where": "return > 0"}, [5, 6, 7])
    derived("better", train, "select", {"where": "return > 9"}, [5, 6])
    for name in ("a", "b", "good"):
        assert {each: finding.count for each, finding in found_for(workspace, name).items()} == {"leaked_episodes": 1}
    assert found_for(workspace, "better") == {}
    assert found_for(workspace, "x-v1") == {}
    assert found_for(workspace, "better", ("good",))["leaked_episodes"].count == 2
