"""Datasets that refer to the episodes of others: three stages make them, and all others work on them as on any."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.derived import is_stitched
from pipeline.artifacts.exported import place_in
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import ArtifactNotFound, IdentityMismatch, InvalidInput, Unreachable
from pipeline.formats.contract import Format
from pipeline.frames.store import Frames
from pipeline.hub.connection import Hub
from pipeline.policies.random import Random
from pipeline.regent.recipe import Recipe
from pipeline.rollout.audit import audit
from stages import bins, catalog, distances, export, frames, gc, parquet, plan, publish, report, retrieval, verify
from stages import select as select_stage
from stages import split as split_stage
from stages import stitch as stitch_stage
from tests.conftest import STORAGES, collected, toy_domain
from tests.contracts.format import UNSET, Listed, ingested
from tests.matrix import default_form

UNSET_HERE = {"domain": toy_domain(), "task": "corner", "episodes": None, "force": False}
WHERE = 'success == 1 and "corner" not in mission and return >= quantile(return, 0.2)'


def stitch(workspace: Workspace, **settings: object) -> Artifact:
    return stitch_stage.run(workspace=workspace, **(UNSET_HERE | {"datasets": ["scripted-v1", "random-v1"]} | settings))


def select(workspace: Workspace, **settings: object) -> Artifact:
    return select_stage.run(workspace=workspace, **(UNSET_HERE | {"of": "mixed-v1", "where": WHERE} | settings))


def split(workspace: Workspace, **settings: object) -> list[Artifact]:
    unset = {"of": "mixed-v1", "parts": {"train": 0.75, "test": 0.25}, "by": "episode", "seed": 0, "dataset": None}
    return split_stage.run(workspace=workspace, **(UNSET_HERE | unset | settings))


def digests(artifact: Artifact) -> list[bytes]:
    return [each.digest() for each in EpisodeDataset.of(artifact)]


class Derived(NamedTuple):
    workspace: Workspace
    by_name: dict[str, Artifact]


@pytest.fixture(scope="module", params=STORAGES)
def derived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Derived:
    """Two datasets of the toy, what three stages derive from them, and `listed-v1`: the same episodes, stored anew."""
    workspace = Workspace(str(tmp_path_factory.mktemp(f"derived-{request.param}")), request.param)
    toy = toy_domain()
    made = [
        collected(toy, workspace, episodes=8),
        collected(toy, workspace, episodes=4, policy=Random, dataset="random-v1", frames=48),
        stitch(workspace, dataset="mixed-v1"),
        select(workspace, dataset="good-v1"),
        *split(workspace),
    ]
    made.append(ingested(Listed(list(EpisodeDataset.of(made[2]))), workspace))
    return Derived(workspace, {each.manifest.version: each for each in made})


def test_a_stitched_dataset_has_all_episodes_of_its_datasets_in_their_order(derived: Derived):
    each = derived.by_name
    assert digests(each["mixed-v1"]) == digests(each["scripted-v1"]) + digests(each["random-v1"])
    assert EpisodeDataset.of(each["mixed-v1"]).datasets() == ["scripted-v1"] * 8 + ["random-v1"] * 4


def test_what_was_derived_from_a_stitched_dataset_is_known_as_stitched(derived: Derived):
    stitched = {name for name, each in derived.by_name.items() if is_stitched(each)}
    assert stitched == {"mixed-v1", "good-v1", "mixed-v1-train", "mixed-v1-test"}


def test_a_selected_dataset_has_the_episodes_that_its_expression_chooses(derived: Derived):
    mixed = list(EpisodeDataset.of(derived.by_name["mixed-v1"]))
    least = np.quantile([each.total_reward for each in mixed], 0.2)
    wanted = [each.digest() for each in mixed if each.success == 1 and each.total_reward >= least]
    assert 0 < len(wanted) < len(mixed)
    assert digests(derived.by_name["good-v1"]) == wanted


def test_the_parts_of_a_split_have_each_episode_once(derived: Derived):
    parts = [digests(derived.by_name[f"mixed-v1-{name}"]) for name in ("train", "test")]
    assert [len(each) for each in parts] == [9, 3]
    assert sorted(parts[0] + parts[1]) == sorted(digests(derived.by_name["mixed-v1"]))


def test_repeating_finds_and_forcing_compares(derived: Derived):
    for again in (stitch, select):
        name = "mixed-v1" if again is stitch else "good-v1"
        assert not again(derived.workspace, dataset=name).built
        assert (
            again(derived.workspace, dataset=name, force=True).manifest.digest == derived.by_name[name].manifest.digest
        )
    assert [each.built for each in split(derived.workspace)] == [False, False]
    assert [each.manifest.version for each in split(derived.workspace, force=True)] == [
        "mixed-v1-train",
        "mixed-v1-test",
    ]


def test_other_settings_under_the_same_name_are_refused_with_the_difference(derived: Derived):
    with pytest.raises(IdentityMismatch, match=r"select.where: .* there, length > 1 asked"):
        select(derived.workspace, dataset="good-v1", where="length > 1")
    with pytest.raises(IdentityMismatch, match=r"(?s)split.seed: 0 there, 1 asked.*another name: dataset=mixed-v2"):
        split(derived.workspace, seed=1)
    with pytest.raises(IdentityMismatch, match=r"(?s)stitch.of.*random-v1"):
        stitch(derived.workspace, dataset="mixed-v1", datasets=["random-v1", "scripted-v1"])


def test_of_a_parent_the_first_episodes_are_read(derived: Derived):
    some = select(derived.workspace, dataset="first-v1", where="episode >= 0", episodes=3)
    assert digests(some) == digests(derived.by_name["mixed-v1"])[:3]
    assert [len(digests(each)) for each in split(derived.workspace, episodes=4, dataset="few")] == [3, 1]
    both = stitch(derived.workspace, dataset="both-v1", episodes=2)
    assert digests(both) == digests(derived.by_name["scripted-v1"])[:2] + digests(derived.by_name["random-v1"])[:2]


def test_an_episode_that_is_stitched_twice_is_warned_of(derived: Derived, caplog: pytest.LogCaptureFixture):
    stitch(derived.workspace, datasets=["scripted-v1", "mixed-v1"], dataset="twice-v1")
    assert "8 of its 20 episodes have the same content as an earlier one" in caplog.text


@pytest.mark.parametrize("missing", ["of", "datasets"])
def test_a_dataset_that_is_missing_is_named_with_what_makes_it(derived: Derived, missing: str):
    with pytest.raises(ArtifactNotFound, match=r"no dataset gone-v1 .* mixed-v1") as error:
        if missing == "of":
            select(derived.workspace, of="gone-v1", dataset="x")
        else:
            stitch(derived.workspace, datasets=["random-v1", "gone-v1"], dataset="x")
    assert (error.value.command.stages, error.value.command.settings["dataset"]) == (("collect",), "gone-v1")


@pytest.mark.parametrize(
    ("call", "settings", "words"),
    [
        (select, {"dataset": None}, "needs a name of its own: it has none yet"),
        (select, {"dataset": "mixed-v1"}, "mixed-v1 is what it is made of"),
        (select, {"dataset": "x", "of": None}, "stage.select.of=NAME"),
        (select, {"dataset": "x", "where": None}, "stage.select.where=EXPRESSION"),
        (select, {"dataset": "x", "where": 3}, "3 is a number, where true or false is needed"),
        (select, {"dataset": "x", "where": "return > 300"}, "return: "),
        (select, {"dataset": "a/b"}, "cannot name a dataset"),
        (stitch, {"dataset": "x", "datasets": ["random-v1"]}, "two or more"),
        (stitch, {"dataset": "x", "datasets": None}, "two or more"),
        (stitch, {"dataset": "x", "datasets": "random-v1"}, "two or more"),
        (stitch, {"dataset": "random-v1"}, "random-v1 is what it is made of"),
        (split, {"parts": None}, "stage.split.parts={NAME:SHARE,NAME:SHARE}"),
        (split, {"parts": {"train": 0.9, "test": 0.2}}, "these sum to 1.1"),
        (split, {"seed": -1}, "stage.split.seed=-1 must not be negative"),
        (split, {"parts": {f"p{n}": 0.05 for n in range(20)}, "dataset": "x"}, "it has 12 episodes"),
        (split, {"by": "mission", "dataset": "x"}, "cannot be split by mission"),
        (split, {"parts": {"a-bin": 0.5, "b": 0.5}}, "cannot name a dataset"),
    ],
)
def test_settings_that_cannot_be_are_refused(derived: Derived, call, settings: dict[str, object], words: str):
    with pytest.raises(InvalidInput) as error:
        call(derived.workspace, **settings)
    assert words in str(error.value)


def test_datasets_with_other_arrays_are_not_stitched(derived: Derived):
    narrow = EpisodeDataset.of(derived.by_name["random-v1"])[0].steps
    other = Episode(steps=narrow | {"observation": narrow["observation"].astype(np.float64)})
    ingested(Listed([other]), derived.workspace, "wide-v1")
    with pytest.raises(
        InvalidInput, match=r"have other arrays: observation is float32\[9\] in the first, float64\[9\]"
    ):
        stitch(derived.workspace, datasets=["random-v1", "wide-v1"], dataset="unlike-v1")


def exported(workspace: Workspace, name: str, format: Format) -> Artifact:
    return export.run(
        domain=toy_domain(), workspace=workspace, format=format, **(UNSET | {"task": "corner", "dataset": name})
    )


def test_what_is_made_of_a_derived_dataset_is_what_is_made_of_the_same_episodes(derived: Derived):
    made = {}
    for name in ("mixed-v1", "listed-v1"):
        recipe = Recipe(toy_domain(), "corner", name)
        made[name] = [
            stage.run(recipe=recipe, workspace=derived.workspace, force=False).manifest.digest
            for stage in (retrieval, distances, bins, parquet)
        ]
    assert made["mixed-v1"] == made["listed-v1"]
    assert derived.by_name["mixed-v1"].manifest.digest == derived.by_name["listed-v1"].manifest.digest


def test_an_export_of_a_derived_dataset_comes_in_again_as_its_episodes(derived: Derived):
    form = default_form("kabuki")
    made = exported(derived.workspace, "mixed-v1", form)
    door = form.source(place_in(made))
    assert [each.digest() for each in door.episodes("toy", "corner", 0)] == digests(derived.by_name["mixed-v1"])


def test_every_stage_works_on_a_derived_dataset(
    derived: Derived, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    workspace, toy = derived.workspace, toy_domain()
    name = {"zarr": "good-v1", "bin": "mixed-v1-test"}[workspace.storage.name]
    drawn = frames.run(workspace=workspace, dataset=name, workers=1, **UNSET_HERE)
    assert len(Frames(drawn)[0]) == EpisodeDataset.of(derived.by_name[name]).lengths[0] + 1
    for form in ("kabuki", "minari" if workspace.storage.name == "bin" else "npz"):
        exported(workspace, name, default_form(form))
    recipe = Recipe(toy, "corner", name)
    assert report.run(recipe=recipe, workspace=workspace, force=False).built
    plan.run(recipe=recipe, workspace=workspace)
    catalog.run(domain=toy, only="corner", workspace=workspace)
    assert derived.by_name[name].path.name in capsys.readouterr().out
    hub = Hub("me/toy", endpoint="http://127.0.0.1:9", dry_run=True)
    with pytest.raises(Unreachable):  # after the table of what would be sent
        publish.run(recipe=recipe, workspace=workspace, hub=hub, force=False, format=default_form("kabuki"))
    assert "toy-corner-kabuki" in capsys.readouterr().out
    verify.run(domain=toy, only="corner", workspace=workspace, audit=None, workers=1)
    replayed = audit(partial(toy.environment, task="corner"), derived.by_name[name], 1)
    assert {each.row for each in replayed} == {None}  # all episodes, to their ends
    gc.run(domain=toy, only="corner", workspace=workspace, delete=False)
    assert "nothing to remove" in caplog.text
