"""Derived datasets: other datasets' episodes, read where they lie, as if they were a dataset's own."""

import pickle

import numpy as np
import pytest

from pipeline.artifacts.artifact import EPISODES, Artifact, Manifest, Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.checks import wrong_episodes
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, grow
from pipeline.dataset.parts import pack, save_part
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace
from pipeline.digest import combine
from pipeline.errors import DamagedArtifact, IdentityMismatch, InvalidInput
from tests.manifests import edited
from tests.pipeline.dataset.made import made, with_infos

FIRST, SECOND = made(40), made(25, seed=9)


def put(store, name, episodes, **parameters):
    """A dataset of several small parts."""

    def fill(writer, amount):
        for first in range(writer.count, len(episodes), 7):
            some = episodes[first : first + 7]
            folder = writer.spill / f"part-{first}"
            files = save_part(store.storage, folder, pack(some))
            writer.adopt(StoredPart(folder, files, np.array([each.length for each in some])))
        return Noticed()

    spec = Spec("toy", "corner", EPISODES, EPISODES_FORMAT, parameters, name=name)
    return EpisodeDataset.of(grow(store, spec, Amount(episodes=len(episodes)), fill))


@pytest.fixture(params=["zarr", "bin"])
def store(tmp_path, request):
    return Workspace(str(tmp_path), request.param)


@pytest.fixture
def pair(store):
    return [
        put(store, "first-v1", FIRST, environment={"simulator": "toy", "kwargs": {}}, seed=0),
        put(store, "second-v1", SECOND, environment={"simulator": "toy", "kwargs": {}}, seed=1),
    ]


def derived(store, datasets, owners, numbers, name="both-v1", stage="stitch", **settings):
    spec = derived_spec(name, stage, settings, datasets)
    return derive(store, spec, datasets, References(np.array(owners), np.array(numbers)))


def chosen(rng, count):
    owners = rng.integers(0, 2, count)
    return owners, np.where(owners == 0, rng.integers(0, len(FIRST), count), rng.integers(0, len(SECOND), count))


def test_it_reads_as_a_dataset_of_the_same_episodes(store, pair):
    assert len(pair[0]._parts.shares) > 3
    for seed in range(2):
        owners, numbers = chosen(np.random.default_rng(seed), 30)
        artifact = derived(store, pair, owners, numbers, f"both-v{seed}")
        wanted = [(FIRST, SECOND)[owner][number] for owner, number in zip(owners, numbers, strict=True)]
        dataset = EpisodeDataset.of(artifact)
        assert [each.digest() for each in dataset] == [each.digest() for each in wanted]
        assert dataset.digest() == artifact.manifest.digest == combine(each.digest() for each in wanted)
        assert dataset[7].digest() == wanted[7].digest()
        assert [each.digest() for each in dataset.read_ahead(11)] == [each.digest() for each in wanted[11:]]
        rows = np.concatenate([each.steps["observation"][:-1] for each in wanted])
        for start, stop in ((0, len(rows)), (5, 90), (17, 18), (4, 4)):
            assert np.array_equal(dataset.state_rows("observation", start, stop), rows[start:stop])
        assert np.array_equal(dataset.episode_rows("action", 3, 0, 1), wanted[3].steps["action"][:1])
        assert dataset.texts("mission") == [each.mission for each in wanted]
        assert list(wrong_episodes(artifact)) == []


def test_it_takes_no_space_and_is_found_again(store, pair):
    made_once = derived(store, pair, [0, 0, 1], [3, 5, 2])
    again = derived(store, pair, [0, 0, 1], [3, 5, 2])
    assert (made_once.built, again.built) == (True, False)
    assert sum(path.stat().st_size for path in made_once.path.rglob("*") if path.is_file()) < 12_000
    assert not (made_once.path / "parts").exists()


def test_the_same_name_stands_for_one_thing(store, pair):
    derived(store, pair, [0], [3], where="length > 3")
    with pytest.raises(IdentityMismatch, match=r"(?s)where: length > 3 there, length > 4 asked.*dataset=both-v2"):
        derived(store, pair, [0], [4], where="length > 4")


def test_what_was_derived_can_be_derived_from(store, pair):
    both = EpisodeDataset.of(derived(store, pair, np.repeat([0, 1], [40, 25]), np.r_[0:40, 0:25]))
    some = derived(store, [both], np.zeros(4, int), np.array([1, 39, 40, 64]), "some-v1", "select")
    wanted = [FIRST[1], FIRST[39], SECOND[0], SECOND[24]]
    assert [each.digest() for each in EpisodeDataset.of(some)] == [each.digest() for each in wanted]
    assert EpisodeDataset.of(some).datasets() == ["first-v1", "first-v1", "second-v1", "second-v1"]


def test_its_parameters_are_those_that_its_parents_agree_on(store, pair):
    manifest = derived(store, pair, [0, 1], [0, 0]).manifest
    assert manifest.parameters["environment"] == {"simulator": "toy", "kwargs": {}}
    assert "seed" not in manifest.parameters
    assert [each["dataset"] for each in manifest.parameters["stitch"]["of"]] == ["first-v1", "second-v1"]
    assert manifest.counts["episodes"] == 2
    assert manifest.return_["max"] == max(FIRST[0].total_reward, SECOND[0].total_reward)


def test_it_does_not_change_when_a_parent_grows(tmp_path):
    store = Workspace(str(tmp_path), "zarr")
    parent = put(store, "grown-v1", FIRST[:7])
    artifact = derived(store, [parent], np.zeros(3, int), np.array([0, 4, 6]), "some-v1", "select")
    put(store, "grown-v1", FIRST)
    assert [each.digest() for each in EpisodeDataset.of(artifact)] == [FIRST[n].digest() for n in (0, 4, 6)]


def test_it_is_whole_where_a_parent_grew_by_episodes_with_another_info(tmp_path):
    store = Workspace(str(tmp_path), "zarr")
    parent = put(store, "grown-v1", [with_infos([{}, {}])])
    artifact = derived(store, [parent], [0], [0], "some-v1", "select")
    grown = put(store, "grown-v1", [with_infos([{}, {}]), with_infos([{"x": 1.5}, {"x": 2.5}])])
    assert "info/x" in grown.array_names()
    assert list(wrong_episodes(artifact)) == []


def test_a_parent_with_other_episodes_is_noticed(store, pair):
    artifact = derived(store, pair, [0, 1], [5, 5])
    other = store.dataset("toy", "corner", "second-v1")
    moved = put(Workspace(str(store.root.parent / "elsewhere"), store.storage.name), "second-v1", made(25, seed=3))
    other.path.rename(other.path.with_name("away-v1"))
    moved.artifact.path.rename(other.path)
    with pytest.raises(DamagedArtifact, match="refers to episode 5 of second-v1, which is another one now"):
        EpisodeDataset.of(artifact)


def test_a_parent_that_is_gone_is_named_with_what_makes_it(store, pair):
    artifact = derived(store, pair, [0, 1], [5, 5])
    pair[0].artifact.path.rename(pair[0].artifact.path.with_name("away-v1"))
    with pytest.raises(
        DamagedArtifact, match=r"(?s)the first 40 episodes of first-v1.*stage=collect.*dataset=first-v1"
    ):
        EpisodeDataset.of(artifact)


def test_damage_to_a_parent_is_met_by_who_reads_the_derived_one(store, pair):
    artifact = derived(store, pair, [0, 1], [5, 5])
    file = max(pair[1].artifact.path.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedArtifact, match="second-v1"):
        EpisodeDataset.of(artifact)


def test_a_summary_that_is_none_of_its_episodes_is_damage(store, pair):
    artifact = derived(store, pair, [0, 1], [5, 5])
    changed = edited(artifact.path, counts={**artifact.manifest.counts, "states": 1})
    assert any("counts.states is 1 in the manifest" in line for line in wrong_episodes(changed))


def test_other_arrays_are_refused_and_infos_may_come_and_go(tmp_path):
    store = Workspace(str(tmp_path), "zarr")
    plain, told, other = (
        put(store, name, [with_infos(infos)])
        for name, infos in {
            "plain-v1": [{}, {}],
            "told-v1": [{"x": 1.5}, {"x": 2.5}],
            "other-v1": [{"x": 1}, {}],
        }.items()
    )
    both = EpisodeDataset.of(derived(store, [plain, told], [0, 1], [0, 0]))
    assert list(both[0].steps) == [name for name in both[1].steps if name != "info/x"]
    assert both.state_rows("info/x", 0, 4).tolist() == [0, 0, 1.5, 2.5]
    with pytest.raises(InvalidInput, match=r"info/x is float64\[\] in the first, int64\[\] in the second"):
        derived(store, [told, other], [0, 1], [0, 0], "no-v1")
    wide = put(store, "wide-v1", SECOND)
    with pytest.raises(InvalidInput, match=r"plain-v1 and toy/corner/wide-v1 have other arrays: action is"):
        derived(store, [plain, wide], [0, 1], [0, 0], "no-v1")


def test_other_processes_read_it_and_a_prefix_of_it(store, pair):
    artifact = derived(store, pair, [0, 1, 0], [5, 6, 7])
    whole = pickle.loads(pickle.dumps(EpisodeDataset.of(artifact)))
    assert [each.digest() for each in whole] == [each.digest() for each in (FIRST[5], SECOND[6], FIRST[7])]
    assert len(EpisodeDataset.of(store.dataset("toy", "corner", "both-v1", 2))) == 2
    with pytest.raises(InvalidInput, match="refers to no more"):
        store.dataset("toy", "corner", "both-v1", 4)
    assert Artifact(artifact.path, Manifest.read(artifact.path)).is_derived
