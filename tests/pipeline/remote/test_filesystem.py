"""Where an address leads, and which message comes when it leads nowhere; never with what is secret in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from pipeline.errors import InvalidInput
from pipeline.remote import filesystem as remote
from pipeline.remote import retry
from pipeline.remote.filesystem import Failed, connect, error_line, scrubbed, with_retries


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ftp://anna:secret@host/x", "ftp://host/x"),
        ("sftp://anna@host:22/x", "sftp://host:22/x"),
        ("refused: https://host/a?sig=secret, and more", "refused: https://host/a and more"),
        ("gs://bucket/a b@c", "gs://bucket/a b@c"),
        ("a?b", "a?b"),
    ],
)
def test_an_address_is_shown_without_name_password_and_query(text, shown):
    assert scrubbed(text) == shown


def test_an_error_of_the_other_side_is_one_short_line_without_secrets():
    error = OSError("GET https://anna:secret@host/x\n" + "long " * 200)
    assert error_line(error).startswith("OSError: GET https://host/x long long")
    assert len(error_line(error)) < 350
    assert error_line(EOFError()) == "EOFError"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://storage.googleapis.com/atari-replay-datasets", "gs://BUCKET/FOLDER for Google's"),
        ("gs://", "names no bucket"),
        ("nothing://x", "cannot be opened"),
        ("ftp://anna@127.0.0.1:1/x?key=hushed&n", "must not hold a password or a signature"),
        ("ftp://anna:hushed@127.0.0.1:1/x", "must not hold a password or a signature"),
        ("ftp://anna@127.0.0.1:1/x", "cannot be opened"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_the_setting_and_no_secret(address, wanted):
    with pytest.raises(InvalidInput) as caught:
        connect(address, "source.root")
    assert wanted in str(caught.value)
    assert "source.root" in str(caught.value)
    assert "hushed" not in str(caught.value)
    assert "anna" not in str(caught.value)


def test_without_gcsfs_a_bucket_of_google_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs.core", None)
    remote._google_class.cache_clear()
    with pytest.raises(InvalidInput, match=r"pip install 'repertoire\[gcs\]'"):
        connect("gs://bucket/folder", "source.root")


def test_a_failure_that_may_pass_is_tried_again_and_an_answer_that_stays_is_not():
    asked = []

    def fail(error: Exception) -> None:
        asked.append(error)
        raise error

    for error, tries in ((ConnectionResetError(), remote.TRIES), (PermissionError(), 1), (ValueError(), 1)):
        asked.clear()
        with pytest.raises(Failed) as caught:
            with_retries(lambda error=error: fail(error), "asking")
        assert (len(asked), caught.value.tries, caught.value.__cause__) == (tries, tries, error)
    with pytest.raises(FileNotFoundError):
        with_retries(lambda: fail(FileNotFoundError()), "asking")
    with pytest.raises(TypeError):
        with_retries(lambda: fail(TypeError()), "asking")


def test_the_tries_end_when_another_thread_has_failed():
    stop, asked = Event(), []

    def fail() -> None:
        asked.append(1)
        stop.set()
        raise ConnectionResetError

    with pytest.raises(Failed):
        with_retries(fail, "asking", stop)
    assert len(asked) == 1


def test_libraries_of_other_file_systems_are_loaded_only_when_one_is_asked():
    code = "import sys, pipeline.sources.dqn_replay.bucket; print({'fsspec', 'gcsfs', 'aiohttp'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
