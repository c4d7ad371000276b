"""A download from a bucket on loopback, and what it asked for and left."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.remote.download import RemoteFile, download
from pipeline.remote.filesystem import connect
from tests.gcs_server import BUCKET, Gcs, crc32c

ROOT = Path(__file__).parents[3]
ADDRESS = f"gs://{BUCKET}"
RANGE = 1000

CHILD = """
import json, sys
from pathlib import Path
from pipeline.remote import download
from pipeline.remote.filesystem import connect
address, folder, size, files = sys.argv[1:]
download.RANGE_BYTES = int(size)
wanted = [
    download.RemoteFile(f["remote"], f["size"], Path(f["local"]), bytes.fromhex(f["md5"])) for f in json.loads(files)
]
download.download(connect(address, "source.root"), wanted, Path(folder), "child", "source.cache")
"""


def put(gcs: Gcs, here: Path, name: str, length: int, **listed: Any) -> RemoteFile:
    """A file of random bytes on the server, and what its listing says of it."""
    content = np.random.default_rng(length).bytes(length)
    (gcs.folder / name).write_bytes(content)
    facts = {"md5": hashlib.md5(content).digest(), "crc32c": crc32c(content), "size": length, **listed}
    return RemoteFile(f"{BUCKET}/{name}", local=here / name, **facts)


def fetch(files: Sequence[RemoteFile], here: Path) -> None:
    download(connect(ADDRESS, "source.root"), files, here, "pong", "source.cache")


def refusal(files: Sequence[RemoteFile], here: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        fetch(files, here)
    return str(caught.value)


def content(gcs: Gcs, file: RemoteFile) -> bytes:
    return (gcs.folder / file.local.name).read_bytes()


def ranges(gcs: Gcs, name: str) -> list[tuple[int, int]]:
    """First and last byte of the ranges that were asked for, in order."""
    asked = [(re.fullmatch(r"bytes=(\d+)-(\d+)", each)) for text, each in gcs.log if text == f"GET {name}"]
    return [(int(each[1]), int(each[2])) for each in asked if each]


def left(here: Path) -> list[str]:
    return sorted(path.name for path in here.iterdir())


def run_child(gcs: Gcs, here: Path, files: Sequence[RemoteFile]) -> subprocess.Popen:
    asked = [{"remote": f.remote, "size": f.size, "local": str(f.local), "md5": (f.md5 or b"").hex()} for f in files]
    command = [sys.executable, "-c", CHILD, ADDRESS, str(here), str(RANGE), json.dumps(asked)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "STORAGE_EMULATOR_HOST": gcs.url})


def stopped_after(gcs: Gcs, here: Path, file: RemoteFile, parts: int) -> None:
    """Let a download of the file end after some ranges."""
    fault = gcs.fail("GET a.gz", status=403, times=1, skip=parts)
    refusal([file], here)
    assert file.part.stat().st_size == parts * RANGE
    gcs.faults.remove(fault)
    gcs.sent.clear()
