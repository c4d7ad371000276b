"""The card of a repository."""

from __future__ import annotations

import pytest
import yaml

from pipeline.errors import InvalidInput
from pipeline.hub.card import repository_card
from pipeline.hub.names import listed_tasks

TASKS = listed_tasks(
    [
        "metaworld-assembly_subset/train-00000-of-00001.parquet",
        "metaworld-assembly_newdata/train-00000-of-00001.parquet",
    ]
)


def head(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_a_task_without_description_has_its_configurations():
    card = repository_card("me/x", TASKS, {})
    assert [entry["config_name"] for entry in head(card)["configs"]] == [
        "metaworld-assembly_newdata",
        "metaworld-assembly_subset",
    ]
    assert head(card)["configs"][0]["data_files"] == [{"split": "train", "path": "metaworld-assembly_newdata/train-*"}]
    assert "not described" in card
    assert 'load_dataset("me/x", "metaworld-assembly_newdata", split="train")' in card
    assert "python run.py stage=fetch domain=metaworld task=assembly hub.repo_id=me/x\n" in card


def test_a_card_is_the_same_when_it_is_made_again():
    once = repository_card("me/x", TASKS, {})
    assert repository_card("me/x", TASKS, {}, once) == once


@pytest.mark.parametrize(
    "present", ["# Mine\n\nText.\n", "---\nlicense: mit\nconfigs:\n- config_name: own\n---\n# Mine\n\nText.\n"]
)
def test_a_card_of_someone_else_is_kept_and_ours_comes_behind(present):
    card = repository_card("me/x", TASKS, {}, present)
    assert card.index("# Mine\n\nText.\n") < card.index("<!-- repertoire: begin -->")
    assert head(card).get("license") == ("mit" if "mit" in present else None)
    assert ("own" in [entry["config_name"] for entry in head(card)["configs"]]) == ("own" in present)
    assert "pretty_name" not in head(card)
    assert repository_card("me/x", TASKS, {}, card) == card


@pytest.mark.parametrize("present", ["---\na: [\n---\n", "---\njust text\n---\n", "---\nconfigs: one\n---\n"])
def test_a_head_that_cannot_be_read_is_not_overwritten(present):
    with pytest.raises(InvalidInput, match=r"README\.md"):
        repository_card("me/x", TASKS, {}, present)
