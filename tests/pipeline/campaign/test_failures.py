"""Failures in plain words."""

import errno
import json
import os
import sqlite3

import pytest
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation

from pipeline.campaign.failures import FAILED, failure_of, forget_failures, plain_message, print_failures
from pipeline.command import Typed, user_typed
from pipeline.errors import InvalidInput, Unreachable


@beartype
def settings(episodes: int | None = None, seed: int = 0, path: str = "", trust: bool = False) -> None:
    """Something that is given settings."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"episodes": "abc"}, "episodes=abc is of the wrong type: it must be a whole number or null."),
        ({"seed": 1.5}, "seed=1.5 is of the wrong type: it must be a whole number."),
        ({"path": 3}, "path=3 is of the wrong type: it must be a text."),
        ({"trust": "yes"}, "trust=yes is of the wrong type: it must be true or false."),
    ],
)
def test_a_wrong_type_is_said_in_words(given, message):
    with pytest.raises(BeartypeCallHintViolation) as caught:
        settings(**given)
    assert plain_message(caught.value) == message
    assert failure_of("collect", "toy/corner", caught.value, None).shared


def test_the_plain_error_inside_what_a_library_wrapped_around_it_is_shown():
    outer = RuntimeError("a library")
    outer.__cause__ = InvalidInput("the reason")
    assert failure_of("bins", "toy/corner", outer, None).message == "the reason"


def test_an_error_of_ours_names_its_type_and_where_the_traceback_is():
    assert plain_message(ValueError("odd")) == "ValueError: odd (the traceback is in failed.json of the run folder)"


def test_the_system_says_what_file_it_is_about():
    assert plain_message(OSError(errno.EACCES, "Permission denied", "/x")) == "Permission denied: /x"
    assert plain_message(OSError(errno.ENOSPC, "No space left", "/x")).startswith("The disk is full (/x). Free some")


@pytest.mark.parametrize(
    "error",
    [
        ValueError('RESOURCE_EXHAUSTED: Error writing "/x/c.0": [OS error 28: No space left on device]'),  # tensorstore
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),  # Arrow
        OSError(errno.EDQUOT, "Disk quota exceeded", "/x/c.0"),
        RuntimeError("unable to write to file </x/c.0>: No space left on device (28)"),  # torch
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_named_whatever_library_meets_it(error):
    outer = RuntimeError("a library that wraps it")
    outer.__cause__ = error
    for each in (error, outer):
        message = plain_message(each)
        assert message.startswith("The disk is full (")
        assert ("/x/c.0" in message) == ("/x/c.0" in str(error))
        assert failure_of("bins", "toy/corner", each, None).shared


def test_too_many_open_files_are_no_full_disk():
    error = ValueError("RESOURCE_EXHAUSTED: [OS error 24: Too many open files]")
    assert "disk" not in plain_message(error)


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs /dev/shm")
def test_a_full_disk_that_does_not_hold_the_root_is_called_by_its_own_name(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", "/dev/shm/part")
    with user_typed(Typed((f"paths.root={tmp_path}",))):
        message = plain_message(error)
    assert message.startswith("The shared memory of this machine is full (/dev/shm/part); paths.root lies elsewhere.")
    assert "paths.root=FOLDER" not in message


@pytest.mark.parametrize(
    ("error", "shared"),
    [
        (OSError(errno.ENOSPC, "No space left"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (Unreachable("no network"), True),
        (InvalidInput("too short"), False),
    ],
)
def test_a_full_disk_and_a_dead_network_are_no_tasks_own(error, shared):
    assert failure_of("collect", "toy/corner", error, None).shared == shared


def entry(task, message, untried=()):
    return {"stage": "bins", "task": task, "message": message, "untried": list(untried)}


def test_failures_for_one_reason_share_a_row_whichever_job_they_are_of(tmp_path, capsys):
    for job, entries in enumerate(
        [[entry("toy/a", "full", ["b", "c"])], [entry("toy/d", "full"), entry("toy/e", "odd")]]
    ):
        (tmp_path / str(job)).mkdir()
        (tmp_path / str(job) / FAILED).write_text(json.dumps(entries))
    assert print_failures(tmp_path) == 3
    table = capsys.readouterr().err
    assert "3 failed" in table
    assert "4 tasks: toy/a, b (not tried), c (not tried), toy/d" in table
    assert (table.count("full"), table.count("odd"), table.count("toy/e")) == (1, 1, 1)


def test_failures_before_any_task_was_known_are_counted_as_jobs(tmp_path, capsys):
    for job in ("0", "1"):
        (tmp_path / job).mkdir()
        (tmp_path / job / FAILED).write_text(json.dumps([entry("", "no such name")]))
    assert print_failures(tmp_path, several_jobs=True) == 2
    assert "2 jobs" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["", "{", "null", "[7]", '[{"task": "toy/a"}]'])
def test_a_damaged_record_of_failures_is_one_failure_that_says_so(tmp_path, capsys, damaged):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / FAILED).write_text(damaged)
    assert print_failures(tmp_path, several_jobs=True) == 1
    assert "is damaged" in " ".join(capsys.readouterr().err.split())


def test_failures_of_an_earlier_sweep_in_the_same_folder_are_forgotten_and_nothing_else(tmp_path):
    for place in ("3", "other", "3/4"):
        (tmp_path / place).mkdir()
        (tmp_path / place / FAILED).write_text(json.dumps([entry("toy/a", "full")]))
    forget_failures(tmp_path)
    assert [path.parent.name for path in sorted(tmp_path.glob(f"**/{FAILED}"))] == ["4", "other"]


def test_a_single_failure_was_told_already(tmp_path, capsys):
    (tmp_path / FAILED).write_text(json.dumps([entry("toy/a", "full")]))
    assert print_failures(tmp_path) == 1
    assert capsys.readouterr().err == ""


def test_a_single_failure_among_several_jobs_is_told_again_at_the_end_with_the_page_of_the_sweep(tmp_path, capsys):
    job = tmp_path / "sweeps" / "2026-11-29" / "02-16-39-385018" / "1"
    job.mkdir(parents=True)
    assert print_failures(job.parent, several_jobs=True) == 0
    assert capsys.readouterr().err == ""
    (job / FAILED).write_text(json.dumps([entry("toy/a", "full")]))
    assert print_failures(job.parent, several_jobs=True) == 1
    told = capsys.readouterr().err
    assert "1 failed" in told
    assert "toy/a" in told
    assert "stage=status stage.status.campaign=sweeps/2026-11-29/02-16-39-385018" in told


def test_an_error_that_says_half_a_character_can_be_written_down(tmp_path):
    failure = failure_of("collect", "toy/corner", ValueError("half \ud800"), None)
    (failure.message + failure.traceback).encode()
    assert r"half \ud800" in failure.message
