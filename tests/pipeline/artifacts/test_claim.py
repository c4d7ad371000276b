"""Drafts and leases: one at a time, taken over after death, never mixed with other settings."""

import subprocess
import sys
import textwrap
import threading
import time

import pytest

from pipeline.artifacts.claim import DRAFT, STALE, claim


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith((DRAFT, STALE)))


def test_a_commit_is_one_rename(tmp_path):
    final = tmp_path / "v"
    with claim(final, "a") as draft:
        (draft.path / "file").write_text("x")
        assert not final.exists()
        draft.commit()
    assert (final / "file").read_text() == "x"
    assert names(tmp_path) == []


def test_an_error_keeps_the_draft_and_the_next_run_resumes_it_under_a_new_name(tmp_path):
    with pytest.raises(RuntimeError), claim(tmp_path / "v", "a") as draft:
        old = draft.path
        (old / "file").write_text("x")
        raise RuntimeError
    with claim(tmp_path / "v", "a") as draft:
        assert draft.resumed
        assert (draft.path / "file").exists()
        assert not old.exists()


def test_a_draft_of_other_settings_is_set_aside(tmp_path):
    with pytest.raises(RuntimeError), claim(tmp_path / "v", "a"):
        raise RuntimeError
    with claim(tmp_path / "v", "b") as draft:
        assert not draft.resumed
    assert any(name.startswith(STALE) for name in names(tmp_path))


@pytest.mark.parametrize("torn", [b"", b'{"a"', b"\xff"])
def test_a_draft_that_does_not_say_what_it_was_to_be_is_set_aside(tmp_path, torn, caplog):
    draft = tmp_path / ".draft-final-abcdef01"
    draft.mkdir()
    (draft / "identity.json").write_bytes(torn)
    with claim(tmp_path / "final", "one") as folder:
        assert not folder.resumed
    assert (tmp_path / ".stale-final-abcdef01").is_dir()
    assert "does not say what it was to be" in caplog.text


def test_a_second_process_waits_for_the_first(tmp_path):
    order = []

    def second():
        with claim(tmp_path / "v", "a"):
            order.append("second")

    with claim(tmp_path / "v", "a"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(1.0)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_holder_is_noticed_at_once(tmp_path):
    code = f"""
    import time
    from pathlib import Path
    from pipeline.artifacts.claim import claim
    with claim(Path({str(tmp_path / "v")!r}), "a") as draft:
        (draft.path / "file").write_text("x")
        print("held", flush=True)
        time.sleep(100)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    child.kill()
    child.wait()
    start = time.monotonic()
    with claim(tmp_path / "v", "a") as draft:
        assert (draft.path / "file").exists()
    assert time.monotonic() - start < 20  # the lease itself lasts a minute
