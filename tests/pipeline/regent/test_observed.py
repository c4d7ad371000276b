"""Vectors, pictures and missions: what of each is compared, and what of it stands in the rows."""

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.atari import LEVELS
from pipeline.errors import InvalidInput
from pipeline.regent.observed import (
    Observed,
    ObservedMissions,
    ObservedPictures,
    ObservedVectors,
    require_vectors,
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
    return EpisodeDataset.of(dataset(Workspace(str(tmp_path)), noise((4, 3), (6, 5))))


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
    assert (images.key, images.shape) == ("image_observations", (4, 6, 5))
    newest = pictures.state_rows("observation", 0, 7)
    np.testing.assert_array_equal(images.read(0, 7)[:, 3], LEVELS[newest])


def test_rewards_are_moved_and_actions_are_named_by_their_numbers(vectors):
    assert stored_array(vectors, "reward").shift
    assert (stored_array(vectors, "action").key, stored_array(vectors, "reward").key) == (
        "continuous_actions",
        "rewards",
    )


def test_pictures_are_no_vectors(vectors, pictures):
    assert (shows_pictures(vectors), shows_pictures(pictures)) == (False, True)
    require_vectors(vectors, "toy/corner")
    with pytest.raises(InvalidInput, match=r"Retrieval compares vectors; .* pictures/pong are observation \[6, 5\]"):
        require_vectors(pictures, "pictures/pong")
