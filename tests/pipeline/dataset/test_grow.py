"""Growing a dataset: what is there is read, what is missing is made, and nothing is made twice."""

import pytest

from pipeline.artifacts import whole
from pipeline.artifacts.artifact import EPISODES, Spec
from pipeline.artifacts.store import ArtifactStore
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import EPISODES_FORMAT, WHOLE_SOURCE, Noticed, grow
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import combine, digest_file
from pipeline.errors import DamagedArtifact, DigestMismatch, IdentityMismatch, InvalidInput
from tests.conftest import collected, toy_domain
from tests.pipeline.dataset.made import made

ALL = made(12)


def spec(**parameters):
    return Spec("toy", "corner", EPISODES, EPISODES_FORMAT, parameters, name="made-v1")


class Source:
    """Gives the made episodes out, and counts how many it was asked for."""

    def __init__(self, episodes=ALL):
        self.episodes, self.given = episodes, 0

    def fill(self, writer, amount):
        for episode in self.episodes[writer.count :]:
            if amount.met(writer.size):
                break
            writer.append(episode)
            self.given += 1
        return Noticed(["odd"], [{"name": "odd", "count": 1, "sentence": "odd"}])


def digest(count):
    return combine(episode.digest() for episode in ALL[:count])


@pytest.fixture(params=["zarr", "bin"])
def store(tmp_path, request):
    return ArtifactStore(str(tmp_path), request.param)


def test_more_appends_and_fewer_reads_a_prefix(store):
    source = Source()
    first = grow(store, spec(), Amount(episodes=4), source.fill)
    assert (first.built, first.episodes, first.manifest.digest, source.given) == (True, 4, digest(4), 4)
    more = grow(store, spec(), Amount(episodes=9), source.fill)
    assert (more.built, more.manifest.digest, source.given) == (True, digest(9), 9)
    fewer = grow(store, spec(), Amount(episodes=2), source.fill)
    assert (fewer.built, fewer.episodes, source.given) == (False, 2, 9)
    assert EpisodeDataset.of(fewer).digest() == digest(2)


def test_states_are_met_by_whole_episodes(store):
    source = Source()
    found = grow(store, spec(), Amount(states=ALL[0].length + 1), source.fill)
    assert (found.episodes, source.given) == (2, 2)
    assert not grow(store, spec(), Amount(states=ALL[0].length), source.fill).built


def test_everything_is_asked_of_a_source_once(store):
    source = Source()
    grow(store, spec(), Amount(episodes=3), source.fill)
    whole = grow(store, spec(), Amount(), source.fill)
    assert whole.manifest.counts[WHOLE_SOURCE] == 12
    assert not grow(store, spec(), Amount(), source.fill).built
    assert source.given == 12


def test_other_settings_under_the_same_name_are_refused(store):
    grow(store, spec(seed=0), Amount(episodes=3), Source().fill)
    with pytest.raises(IdentityMismatch, match=r"(?s)seed: 0 there, 1 asked.*dataset=made-v2"):
        grow(store, spec(seed=1), Amount(episodes=3), Source().fill)


def test_the_other_storage_is_copied_and_not_made_again(tmp_path):
    grow(ArtifactStore(str(tmp_path), "zarr"), spec(), Amount(episodes=6), Source().fill)
    source = Source()
    copied = grow(ArtifactStore(str(tmp_path), "bin"), spec(), Amount(episodes=8), source.fill)
    assert (copied.manifest.digest, source.given) == (digest(8), 2)
    assert copied.manifest.warnings == ["odd"]


def test_a_damaged_episode_is_not_copied(tmp_path):
    store = ArtifactStore(str(tmp_path), "bin")
    path = grow(store, spec(), Amount(episodes=6), Source().fill).path
    file = next(path.glob("parts/*/steps/reward.bin"))
    file.write_bytes(b"\1" + file.read_bytes()[1:])
    with pytest.raises(DamagedArtifact, match=r"steps/reward\.bin has other bytes[\s\S]*make it again: rm -r "):
        grow(ArtifactStore(str(tmp_path), "zarr"), spec(), Amount(episodes=6), Source().fill)


def test_force_compares_and_keeps_what_is_there(store):
    grow(store, spec(), Amount(episodes=6), Source().fill)
    assert grow(store, spec(), Amount(episodes=4), Source().fill, force=True).built
    with pytest.raises(DigestMismatch):
        grow(store, spec(), Amount(episodes=4), Source(ALL[1:]).fill, force=True)
    assert store.get(spec()).manifest.digest == digest(6)


def test_a_source_without_episodes_leaves_nothing_and_says_why(store):
    with pytest.raises(InvalidInput, match=r"(?s)No episode came for toy/corner.*odd"):
        grow(store, spec(), Amount(episodes=3), Source([]).fill)
    assert store.get(spec()) is None


def test_what_was_just_written_is_not_read_again_for_its_checksums_but_a_change_is_found(workspace, monkeypatch):
    monkeypatch.setattr(whole, "TICK_NS", 0)  # as if the parts had been written a moment ago
    read = []
    monkeypatch.setattr(whole, "digest_file", lambda path: read.append(path) or digest_file(path))
    artifact = collected(toy_domain(), workspace, episodes=2)
    assert len(EpisodeDataset.of(artifact)) == 2
    assert [path for path in read if "steps" in path.parts] == []
    changed = next(path for path in (artifact.path / "parts").rglob("*") if path.is_file() and path.stat().st_size > 99)
    changed.write_bytes(bytes(changed.stat().st_size))
    with pytest.raises(DamagedArtifact, match="other bytes"):
        EpisodeDataset.of(artifact)
