"""Sources, exports and copies of artifacts at s3:// addresses, of a server of S3 on this machine, with real kills."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from pipeline.dataset.workspace import Workspace
from tests.conftest import collected, toy_domain
from tests.dqn_replay_files import played_run
from tests.interop.side import ROOT, side_python
from tests.stages.test_sync import EPISODES, contents
from tests.test_disks import mounted

pytestmark = pytest.mark.interop


class S3:
    """A server and its one bucket, which is made anew for each test."""

    def __init__(self, python: Path, port: int) -> None:
        self.python, self.url = python, f"http://127.0.0.1:{port}"
        self.environment = os.environ | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENG",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def ask(self, method: str, path: str = "", body: bytes | None = None) -> bytes:
        signed = (
            "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        )
        headers = {"Content-Type": "application/octet-stream", "Authorization": signed}
        with urlopen(Request(f"{self.url}/{path}", body, headers, method=method), timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def names(self, prefix: str = "") -> list[str]:
        text = self.ask("GET", f"bucket?list-type=2&prefix={prefix}").decode()
        return [each.split("</Key>")[0] for each in text.split("<Key>")[1:]]

    def upload(self, folder: Path, below: str) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.ask("PUT", f"bucket/{below}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def run(self, root: Path, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            self.command(root, *words), capture_output=True, text=True, env=self.environment, cwd="/", check=False
        )
        text = done.stdout + done.stderr
        assert done.returncode == status, text
        assert "Traceback" not in text
        return text

    def command(self, root: Path, *words: str) -> list[str]:
        return [str(self.python), str(ROOT / "run.py"), *words, f"paths.root={root}"]


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    python = side_python("s3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(python), "-m", "moto.server", "-p", str(port)],
        env=os.environ | {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENG"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    s3 = S3(python, port)
    try:
        for _ in range(600):
            try:
                s3.ask("GET")
                break
            except URLError:
                time.sleep(0.1)
        yield s3
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def s3(server: S3) -> S3:
    server.ask("POST", "moto-api/reset")
    server.ask("PUT", "bucket")
    return server


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    collected(toy_domain(), Workspace(str(root)), episodes=6)
    return root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def count(root: Path) -> int:
    return len(contents(Workspace(str(root))))


TO, FROM = ("stage=sync", "stage.sync.to=s3://bucket/outputs"), ("stage=sync", "stage.sync.from=s3://bucket/outputs")


def test_artifacts_go_to_a_bucket_once_and_come_back_the_same(s3, home, tmp_path):
    assert "to copy" in s3.run(home, *TO, "stage.sync.dry_run=true")
    assert s3.names() == []
    assert "copied 1 artifact" in s3.run(home, *TO)
    assert len(s3.names()) == count(home)
    assert f"{EPISODES} there already" in s3.run(home, *TO)
    s3.run(tmp_path / "back", *FROM)
    assert contents(Workspace(str(tmp_path / "back"))) == contents(Workspace(str(home)))
    assert "is whole" in s3.run(tmp_path / "back", "stage=verify")


def test_a_bucket_that_is_not_there_is_named(s3, home):
    text = s3.run(home, "stage=sync", "stage.sync.to=s3://another/outputs", status=1)
    assert "Make the bucket, or its folder, first." in text


def killed(s3: S3, root: Path, words: tuple[str, ...], begun: Callable[[], bool]) -> None:
    """A command that is killed as soon as `begun()`; the server is slow enough for that."""
    process = subprocess.Popen(s3.command(root, *words), env=s3.environment, cwd="/", stdout=subprocess.DEVNULL)
    while process.poll() is None and not begun():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_copy_to_a_bucket_is_no_artifact_and_goes_on(s3, home, tmp_path):
    killed(s3, home, TO, lambda: len(s3.names()) > 10)
    assert 10 < len(s3.names()) < count(home)
    assert f"outputs/artifacts/{EPISODES}/manifest.json" not in s3.names()
    assert "No artifact to copy" in s3.run(tmp_path / "back", *FROM, status=1)
    s3.run(home, *TO)
    s3.run(tmp_path / "back", *FROM)
    assert contents(Workspace(str(tmp_path / "back"))) == contents(Workspace(str(home)))


def test_a_killed_copy_from_a_bucket_is_no_artifact_and_goes_on(s3, home, tmp_path):
    s3.run(home, *TO)
    back = Workspace(str(tmp_path / "back"))

    def drafts() -> list[Path]:
        return [path for path in back.root.glob("*/*/*/.draft-*/**/*") if path.is_file()]

    killed(s3, tmp_path / "back", FROM, lambda: len(drafts()) > 10)
    assert contents(back) == {}
    assert drafts()
    s3.run(tmp_path / "back", *FROM)
    assert contents(back) == contents(Workspace(str(home)))


def test_a_disk_that_is_too_small_for_a_bucket_is_noticed_before_the_first_byte(s3, home, tmp_path):
    s3.run(home, *TO)
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=8k", "tmpfs") as small:
        text = s3.run(small, *FROM, f"hydra.run.dir={tmp_path}/record", status=1)
    assert "Nothing was written" in text


def test_other_bytes_in_a_bucket_never_become_an_artifact(s3, home, tmp_path):
    s3.run(home, *TO)
    name = next(each for each in s3.names() if "/steps/observation/c" in each)
    s3.ask("PUT", f"bucket/{name}", bytes(len(s3.ask("GET", f"bucket/{name}"))))
    text = s3.run(tmp_path / "back", *FROM, status=1)
    assert "came twice with other bytes than are listed" in text
    assert contents(Workspace(str(tmp_path / "back"))) == {}
    s3.run(home, *TO, "stage.sync.replace=true")
    s3.run(tmp_path / "back", *FROM)


def test_an_export_is_sent_to_a_bucket_and_read_from_there(s3, home, tmp_path):
    corner = ("domain=toy", "task=corner")
    s3.run(home, "stage=export", *corner, "format=d4rl", "format.out=s3://bucket/exports/corner.hdf5")
    assert "exports/corner.hdf5" in s3.names("exports")
    source = ("stage=ingest", "source=d4rl", "source.path=s3://bucket/exports/corner.hdf5")
    assert "6 episodes" in s3.run(tmp_path / "new", *source, *corner)


def test_a_root_of_dqn_replay_lies_in_a_bucket(s3, tmp_path):
    played_run(200, [30, 44, 61, 25, 80, 33, 50]).write_bucket(tmp_path / "root")
    s3.upload(tmp_path / "root", "dqn")
    words = ("stage=ingest", "domain=atari", "task=pong", "source=dqn_replay", "source.root=s3://bucket/dqn")
    assert "built" in s3.run(tmp_path / "new", *words)
