"""Stages one after the other, task after task: what a failure stops, and what it does not."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field
from inspect import signature

import pytest

from pipeline.artifacts.store import ArtifactStore
from pipeline.campaign.run import Campaign, run_campaign
from pipeline.campaign.stage import StageFacts
from pipeline.errors import InvalidInput, Unreachable
from tests.conftest import collected, toy_domain

COLLECT = StageFacts(begins=True)


@dataclass
class Stages:
    """Settings whose stages write down that they were called, and raise what they are to raise."""

    failing: dict[tuple[str, str | None], Exception] = field(default_factory=dict)
    calls: list[tuple[str, str | None]] = field(default_factory=list)

    def call(self, stage, task):
        self.calls.append((stage, task))
        if error := self.failing.get((stage, task)):
            raise error

    def ask(self, stage, question, task):
        return question(**dict.fromkeys(signature(question).parameters, task))


def asked(stages, tmp_path, settings, **given):
    known = {"task": "all", "inputs": "require", "build_input": None, "domain": toy_domain()}
    known["datasets"] = {"one": settings}
    return lambda: Campaign(stages=stages, store=ArtifactStore(tmp_path), **(known | given))


def failed(tmp_path):
    return [(each["stage"], each["task"]) for each in json.loads((tmp_path / "failed.json").read_text())]


def test_a_failed_task_is_left_and_the_others_go_on(tmp_path):
    settings = Stages({("collect", "corner"): ValueError("broken")})
    run_campaign(asked({"collect": COLLECT, "bins": StageFacts()}, tmp_path, settings), tmp_path)
    assert settings.calls == [
        ("collect", "corner"), ("collect", "maze"), ("bins", "maze"), ("collect", "key"), ("bins", "key"),
    ]  # fmt: skip
    assert failed(tmp_path) == [("collect", "toy/corner")]
    assert len(json.loads((tmp_path / "artifacts.json").read_text())) == 4


def test_the_same_reason_is_told_in_full_once(tmp_path, caplog):
    settings = Stages({("collect", task): ValueError("broken") for task in ("corner", "maze")})
    run_campaign(asked({"collect": COLLECT}, tmp_path, settings), tmp_path)
    first, second = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert first.startswith("collect toy/corner failed: ValueError: broken")
    assert second == "collect toy/maze failed: as collect toy/corner"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device", "x"), Unreachable("no network")])
def test_after_a_failure_that_is_no_tasks_own_no_other_task_is_tried(tmp_path, caplog, error):
    settings = Stages({("collect", "corner"): error})
    (failure,) = run_campaign(asked({"collect": COLLECT}, tmp_path, settings), tmp_path)
    assert settings.calls == [("collect", "corner")]
    assert failure.untried == ["maze", "key"]
    assert "not tried, because the cause is no task's own: maze, key" in caplog.text


def test_what_would_stop_every_task_later_stops_before_the_first_stage(tmp_path):
    def foresee(*, weights):
        raise InvalidInput(f"no weights for {weights}")

    settings = Stages()
    stages = {"collect": COLLECT, "embeddings": StageFacts(foresee=foresee)}
    (failure,) = run_campaign(asked(stages, tmp_path, settings), tmp_path)
    assert (failure.stage, failure.task, failure.message) == ("embeddings", "toy", "no weights for corner")
    assert settings.calls == []


def test_a_stage_that_knows_which_tasks_can_be_had_is_given_those(tmp_path):
    settings = Stages()
    stages = {"ingest": StageFacts(begins=True, tasks=lambda: ["key", "elsewhere"])}
    run_campaign(asked(stages, tmp_path, settings, task=None), tmp_path)
    assert settings.calls == [("ingest", "key")]


def test_a_stage_that_is_not_for_each_task_runs_once_and_after_the_others(tmp_path):
    settings = Stages()
    stages = {"catalog": StageFacts(per_task=False), "collect": COLLECT}
    run_campaign(asked(stages, tmp_path, settings, task="maze"), tmp_path)
    assert settings.calls == [("collect", "maze"), ("catalog", None)]


def test_an_error_in_composing_the_campaign_is_a_failure_of_the_run(tmp_path, caplog):
    (failure,) = run_campaign(asked({}, tmp_path, Stages()), tmp_path)
    assert "Say which stage" in failure.message
    assert caplog.messages == [failure.message]
    assert failed(tmp_path) == [("", "")]


def test_a_run_folder_that_is_used_again_forgets_what_failed_before(tmp_path):
    run_campaign(asked({}, tmp_path, Stages()), tmp_path)
    run_campaign(asked({"collect": COLLECT}, tmp_path, Stages()), tmp_path)
    assert not (tmp_path / "failed.json").exists()


def test_a_stage_without_a_name_for_the_dataset_that_another_reads_is_refused(tmp_path):
    stages = {"split": StageFacts(names_dataset=True), "export": StageFacts()}
    with pytest.raises(InvalidInput, match="stage=export cannot know which dataset it is to read"):
        asked(stages, tmp_path, Stages(), datasets={"": Stages()})()


def test_all_that_a_stage_has_made_is_recorded(workspace, tmp_path):
    made = [collected(toy_domain(), workspace, task, episodes=1) for task in ("corner", "maze")]
    settings = Stages()
    settings.call = lambda stage, task: made
    run_campaign(asked({"split": COLLECT}, tmp_path, settings, task="corner"), tmp_path)
    record = json.loads((tmp_path / "artifacts.json").read_text())
    assert [(each["stage"], each["path"]) for each in record] == [("split", str(each.path)) for each in made]
