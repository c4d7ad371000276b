"""Vectors, pictures and missions: what of each is compared, and what of it stands in the rows."""

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.atari import LEVELS
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.regent.observed import (
    Observed,
    ObservedMissions,
    ObservedPictures,
    ObservedVectors,
    require_numbers,
    shows_pictures,
    stored_array,
)
from pipeline.regent.tokens import Tokenizer
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.embedding.encoders import embedding
from tests.pipeline.embedding.pictures import dataset, noise


@pytest.fixture
def vectors(tmp_path, rng):
    writer = DatasetWriter(tmp_path / "data", tmp_path / "none", storage_named("bin"))
    for mission, length in (("go to the ball", 3), ("go to the key", 2)):
        writer.append(made_episode(rng, length, mission=mission))
    return EpisodeDataset(tmp_path / "data", writer.finish())


@pytest.fixture
def pictures(tmp_path):
    return EpisodeDataset.of(dataset(Workspace(str(tmp_path)), noise((4, 3), (18, 16))))


def observed_pictures(dataset, **settings):
    given = {"images": False, "actions": (), "embedded": lambda: pytest.fail("not needed"), "label": "pictures/pong"}
    return ObservedPictures(dataset, embedding(), **(given | settings))


def test_the_three_have_the_same_face(vectors, pictures):
    for each in (ObservedVectors(vectors), ObservedMissions(vectors), observed_pictures(pictures)):
        assert isinstance(each, Observed)


def test_vectors_are_compared_and_stand_in_the_rows_as_they_are(vectors):
    seen = ObservedVectors(vectors)
    whole = vectors.state_rows("observation", 0, 5)
    np.testing.assert_array_equal(seen.read(1, 4), whole[1:4])
    (array,) = seen.arrays()
    assert (array.key, array.shape, array.dtype) == ("continuous_observations", (3,), np.dtype("<f4"))
    np.testing.assert_array_equal(array.read(1, 4), whole[1:4])
    assert (seen.network, seen.sources(), seen.parameters(), seen.warnings()) == ("", [], {}, [])


def test_missions_have_sixty_four_columns_more_and_say_where_their_tokens_come_from(vectors):
    seen = ObservedMissions(vectors)
    np.testing.assert_array_equal(seen.read(0, 5), vectors.state_rows("observation", 0, 5))
    (array,) = seen.arrays()
    assert array.shape == (3 + 64,)
    assert (array.read(0, 5)[:, 3:] == -1).all()
    assert seen.parameters() == {"tokens": "none"}
    assert "give tokenizer.path=FILE" in seen.warnings()[0]
    with pytest.raises(InvalidInput, match="There is no tokenizer"):
        ObservedMissions(vectors, tokenizer=Tokenizer("absent.json")).parameters()


def test_what_stands_in_the_rows_of_pictures_is_known_before_they_are_embedded(pictures):
    seen = observed_pictures(pictures, actions=(0, 3))
    assert [(array.key, array.shape) for array in seen.arrays()] == [("embeddings_small_8", (8,))]
    assert (seen.network, seen.parameters()) == ("small_8", {"images": False, "actions": [0, 3]})
    with_images = observed_pictures(pictures, images=True)
    assert with_images.parameters() == {"images": True}
    images, _ = with_images.arrays()
    assert (images.key, images.shape) == ("image_observations", (4, 18, 16))
    newest = pictures.state_rows("observation", 0, 7)
    np.testing.assert_array_equal(images.read(0, 7)[:, 3], LEVELS[newest])


def test_rewards_are_moved_and_actions_are_named_by_their_numbers(vectors):
    assert stored_array(vectors, "reward").shift
    assert (stored_array(vectors, "action").key, stored_array(vectors, "reward").key) == (
        "continuous_actions",
        "rewards",
    )


def test_pictures_are_those_of_the_one_rule(vectors, pictures):
    assert (shows_pictures(vectors), shows_pictures(pictures)) == (False, True)


def shown(folder, **arrays):
    """A dataset of one episode of four rows with these observations."""
    writer = DatasetWriter(folder / "data", folder / "none", storage_named("bin"))
    steps = dict(made_episode(np.random.default_rng(0), 3).steps)
    del steps["observation"]
    writer.append(Episode({**steps, **arrays}))
    return EpisodeDataset(folder / "data", writer.finish())


def test_several_arrays_and_arrays_of_nothing_are_refused_with_what_to_do(tmp_path):
    two = shown(tmp_path / "two", **{"observation/a": np.zeros((4, 2)), "observation/b": np.zeros((4, 3))})
    with pytest.raises(InvalidInput, match=r"a/b, dataset .* are observation/a \[2\], observation/b \[3\].*Join them"):
        require_numbers(two, "a/b")
    none = shown(tmp_path / "none", observation=np.zeros((4, 0), np.float32))
    with pytest.raises(InvalidInput, match=r"the array observation of .* has none: each row is float32 \[0\]"):
        require_numbers(none, "a/b")


@pytest.mark.parametrize("shape", [(), (2, 3), (7, 7, 3), (2, 1, 2, 2)])
def test_what_is_no_picture_is_compared_as_the_list_of_its_numbers(tmp_path, shape):
    grid = np.arange(4 * int(np.prod(shape)), dtype=np.uint8).reshape(4, *shape)
    dataset = shown(tmp_path, observation=grid)
    require_numbers(dataset, "a/b")
    seen = ObservedVectors(dataset)
    np.testing.assert_array_equal(seen.read(0, 3), grid[:3].reshape(3, -1))
    (array,) = seen.arrays()
    assert (array.key, array.shape) == ("discrete_observations", (int(np.prod(shape)),))
