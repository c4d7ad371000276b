"""One line says why something was found or made."""

import dataclasses

import pytest

from pipeline.artifacts.artifact import Parent, Spec
from pipeline.artifacts.store import ArtifactStore
from pipeline.campaign.reasons import why_made

EPISODES = Parent("episodes", "scripted-v1", "3f2a91c0" * 8, 20)
NOTES = Spec("toy", "corner", "notes", 1, {"demos": 20, "policy": {"name": "x"}}, (EPISODES,))

CHANGED = dataclasses.replace(EPISODES, digest="0" * 64)
SEVERAL = {"parameters": {"demos": 2, "policy": {"name": "y" * 33}}, "format": 2}


@pytest.fixture
def make(tmp_path):
    def build(spec=NOTES, storage="zarr", force=False, **changes):
        store = ArtifactStore(str(tmp_path), storage)
        return store.build(dataclasses.replace(spec, **changes), lambda draft: draft.content("text", b"a"), force=force)

    return build


def test_the_first_of_its_kind_is_new_and_the_next_call_finds_it(make):
    assert why_made(make()) == "new: nothing of the kind notes was there"
    assert why_made(make()) == "found: same configuration, inputs 3f2a91c0, code 1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parameters": {"demos": 100, "policy": {"name": "x"}}}, "again: notes.demos 20 -> 100"),
        ({"parameters": {"demos": 20}}, 'again: notes.policy {"name": "x"} -> nothing'),
        ({"parents": (dataclasses.replace(EPISODES, episodes=100),)}, "again: episodes scripted-v1 20 -> 100"),
        ({"parents": (dataclasses.replace(EPISODES, version="b"),)}, "again: episodes scripted-v1 -> b"),
        ({"parents": (CHANGED,)}, "again: episodes scripted-v1 3f2a91c0 -> 00000000"),
        ({"parents": ()}, "again: inputs of the kind episodes 1 -> 0"),
        ({"format": 2}, "again: code 1 -> 2"),
        (SEVERAL, "again: notes.demos 20 -> 2, notes.policy.name x -> #6736c575, code 1 -> 2"),
        ({"storage": "bin"}, "again: in another storage than d42efb1a8941"),
    ],
)  # fmt: skip
def test_what_is_made_again_is_compared_with_what_was_there(make, changes, reason):
    make()
    assert why_made(make(**changes)) == reason


def test_of_several_the_one_counts_that_differs_least(make):
    make(parameters={"demos": 5, "policy": {"name": "y"}}, format=3)
    make()
    assert why_made(make(parameters={"demos": 7, "policy": {"name": "x"}})) == "again: notes.demos 20 -> 7"


def test_what_is_forced_says_so(make):
    make()
    assert why_made(make(force=True)) == "again: force=true, and the digest is the same"
