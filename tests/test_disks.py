"""Disks that are full or read-only, for real: a line that says which, and exit status 1."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.test_run import command, run

COLLECT = ("stage=collect", "domain=toy", "task=corner")


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system mounted at a new folder, as `mount` makes it of the options."""
    folder.mkdir()
    if subprocess.run(["mount", *options, str(folder)], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_without_room_for_the_report_of_the_failure_still_fails(tmp_path):
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=28k", "tmpfs") as small:
        text = run(small, *COLLECT, "episodes=150", status=1)
    assert "disk is full" in text
    assert "failed.json could not be written" in text
    assert "Traceback" not in text


def test_a_full_shared_memory_is_not_called_a_full_root(tmp_path):
    line = shlex.join(command(*COLLECT, "episodes=20", "workers=2", f"paths.root={tmp_path}"))
    fill = "mount -t tmpfs -o size=8k tmpfs /dev/shm && head -c 8192 /dev/zero > /dev/shm/fill"
    script = f"{fill} && touch {tmp_path}/on && {line}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if not (tmp_path / "on").exists():
        pytest.skip("mount namespaces are not allowed here")
    assert done.returncode == 1
    assert (
        "The shared memory of this machine is full (/dev/shm); paths.root lies elsewhere." in done.stderr + done.stdout
    )


def pasted(text: str, folder: Path, label: str = "") -> str:
    """What a suggestion that names a FOLDER prints, when it is pasted with one. `label` is what stands before it."""
    lines = [line for line in text.splitlines() if line.endswith("FOLDER") or "=FOLDER " in line]
    line = next(line for line in lines if label in line).partition(": ")[2]
    words = shlex.split(line.replace("FOLDER", str(folder)))
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_read_only_root_suggests_what_reads_it_and_what_makes_more(tmp_path):
    (root := tmp_path / "root").mkdir()
    run(root, *COLLECT, "episodes=3")
    with mounted(tmp_path / "read-only", "--bind", str(root)) as folder:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        text = run(folder, "stage=catalog", status=1)
        assert text.startswith("Read-only file system: ")
        assert "scripted-v1" in pasted(text, tmp_path / "record")
        text = run(folder, *COLLECT, "episodes=4", f"hydra.run.dir={tmp_path}/record", status=1)
        assert "Traceback" not in text
        assert "4 episodes" in pasted(text, tmp_path / "another")


@pytest.mark.slow
def test_a_disk_without_room_for_a_file_more_is_tidied_up_by_its_suggestion(tmp_path):
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as small:
        run(small, *COLLECT, "episodes=3", "workers=1")
        (draft := small / "artifacts" / "toy" / "corner" / "retrieval" / ".draft-dead-01234567").mkdir(parents=True)
        with pytest.raises(OSError, match="No space left"), (draft / "fill").open("wb", buffering=0) as file:
            while file.write(b"0" * 4096):
                pass
        text = run(small, "stage=status", status=1)
        assert text.startswith(f"The disk is full ({small}): there is no room for the record of this run")
        assert "Traceback" not in text
        assert "stage=collect" in pasted(text, tmp_path / "status", "Keep that on another disk")
        subprocess.run(["sh", "-c", text.split("What takes the space: ")[1]], capture_output=True, check=True)
        text = pasted(text, tmp_path / "gc", "What can go")
        assert f"would remove {draft} " in text
        assert f"removed {draft} " in pasted(text, tmp_path / "delete", "remove it with")
        text = run(small, "stage=status")  # there is room again, and what could not be recorded is no campaign
        assert "missing  ," not in text
        assert not list(draft.parent.iterdir())
