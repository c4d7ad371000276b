"""The last 64 columns of BabyAI's bins, by a small tokenizer of the real library."""

import numpy as np
import pytest
from tokenizers import Tokenizer as Encoder
from tokenizers import models, pre_tokenizers

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.writer import DatasetWriter
from pipeline.errors import InvalidInput
from pipeline.regent.tokens import END, NO_TOKEN, Tokenizer, read_tokens, token_source
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode

WORDS = ["go", "to", "the", "red", "ball", "key", "?", END]


@pytest.fixture
def dataset(tmp_path, rng):
    writer = DatasetWriter(tmp_path / "data", tmp_path / "none", storage_named("bin"))
    for mission, length in (("go to the red ball", 3), ("go to the key", 2), ("go to the red ball", 4)):
        writer.append(made_episode(rng, length, mission=mission))
    return EpisodeDataset(tmp_path / "data", writer.finish())


@pytest.fixture
def file(tmp_path):
    encoder = Encoder(models.WordLevel({word: 10 + i for i, word in enumerate(WORDS)}, unk_token="?"))
    encoder.pre_tokenizer = pre_tokenizers.Whitespace()
    encoder.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_each_state_has_its_missions_tokens_padded_on_the_right(dataset, file):
    tokens = read_tokens(dataset, Tokenizer(str(file)))(0, 9)
    assert (tokens.shape, tokens.dtype) == ((9, 64), np.int32)
    ball, key = [10, 11, 12, 13, 14], [10, 11, 12, 15]
    for state, words in enumerate([ball] * 3 + [key] * 2 + [ball] * 4):
        assert tokens[state].tolist() == words + [17] * (64 - len(words))
    np.testing.assert_array_equal(read_tokens(dataset, Tokenizer(str(file)))(4, 6), tokens[4:6])


def test_without_a_tokenizer_they_are_unknown(dataset, file):
    assert (read_tokens(dataset, Tokenizer())(0, 9) == NO_TOKEN).all()
    assert token_source(dataset, Tokenizer()) == "none"
    assert len(token_source(dataset, Tokenizer(str(file)))) == 64


def test_what_is_no_tokenizer_is_said(dataset, tmp_path, file):
    with pytest.raises(InvalidInput, match="There is no tokenizer .*absent.json.*tokenizer.path=FILE"):
        token_source(dataset, Tokenizer(str(tmp_path / "absent.json")))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"other.json is no tokenizer.json"):
        read_tokens(dataset, Tokenizer(str(tmp_path / "other.json")))
    bare = Encoder(models.WordLevel({"?": 0}, unk_token="?"))
    bare.save(str(tmp_path / "bare.json"))
    with pytest.raises(InvalidInput, match="names no padding"):
        read_tokens(dataset, Tokenizer(str(tmp_path / "bare.json")))
