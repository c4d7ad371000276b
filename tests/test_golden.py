"""The toy domain's bytes, pinned: a wanted change raises the stage's format number and renews these digests."""

import pytest

from pipeline.dataset.grow import EPISODES_FORMAT
from pipeline.regent import chain
from tests.conftest import derived

GOLDEN = {
    "episodes": "49b4ad27cab11c61",
    "retrieval": "3b73130bb59c7b5f",
    "distances": "39f37d014e8136c3",
    "bins": "97e892823e2bf728",
    "parquet": "0be4b623353dbf86",
}


@pytest.mark.parametrize("kind", list(GOLDEN))
def test_bytes_change_only_with_a_new_format_number(made, kind):
    toy, workspace = made
    artifacts = {"episodes": workspace.dataset("toy", "corner", "scripted-v1"), **derived(toy, workspace)}
    assert artifacts[kind].manifest.digest[:16] == GOLDEN[kind]


def test_format_numbers_are_those_of_the_pinned_bytes():
    numbers = [chain.RETRIEVAL_FORMAT, chain.DISTANCES_FORMAT, chain.BINS_FORMAT, chain.PARQUET_FORMAT]
    assert [EPISODES_FORMAT, *numbers] == [1, 1, 2, 2, 2]
