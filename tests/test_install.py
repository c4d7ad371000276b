"""tools/install.py: what pip is configured with holds for uv, too."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "tools" / "install.py"
spec = importlib.util.spec_from_file_location("install", SCRIPT)
assert spec is not None
assert spec.loader is not None
install = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install)

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def wheel(folder: Path, version: str) -> None:
    """A wheel of the package `thing` that holds nothing."""
    info = f"thing-{version}.dist-info"
    with zipfile.ZipFile(folder / f"thing-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("thing.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip is configured, by a file and a variable, with two folders of wheels and a cap on the version."""
    (wheels := tmp_path / "wheels").mkdir()
    (more := tmp_path / "more").mkdir()
    wheel(wheels, "1.0")
    wheel(wheels, "2.0")
    wheel(more, "1.0+cpu")
    (tmp_path / "caps.txt").write_text("thing<2\n")
    (tmp_path / "pip.conf").write_text(
        f"[global]\nno-index = true\nfind-links = /overridden\n[install]\nconstraint = {tmp_path}/caps.txt\n"
    )
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheels} {more}")
    return tmp_path


def taken(folder: Path) -> list[str]:
    return [path.name.split("-")[1].removesuffix(".dist") for path in folder.rglob("thing-*.dist-info")]


@pytest.mark.skipif(UV is None, reason="there is no uv on this machine")
def test_uv_takes_what_pip_takes_with_the_folders_and_constraints_that_pip_is_configured_with(configured: Path) -> None:
    subprocess.run([*PIP, "install", "--quiet", "--target", configured / "pip", "thing"], check=True)
    command, variables = install.uv_install(UV, Path(sys.executable), install.pip_settings(PIP), [])
    target = configured / "uv"
    subprocess.run([*command, "--target", target, "thing"], env={"PATH": "/usr/bin:/bin", **variables}, check=True)
    assert taken(target) == taken(configured / "pip") == ["1.0+cpu"]


def test_a_variable_wins_over_the_file_and_the_section_install_over_global(
    configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (configured / "pip.conf").write_text("[install]\ntimeout = 5\n[global]\ntimeout = 9\nfind-links = /overridden\n")
    settings = install.pip_settings(PIP)
    assert settings["timeout"] == "5"
    assert settings["find-links"] == f"{configured}/wheels {configured}/more"


def test_passwords_of_an_index_are_not_on_the_command_line() -> None:
    settings = {"index-url": "https://me:secret@host/simple", "extra-index-url": "https://a/simple\nhttps://b/simple"}
    command, variables = install.uv_install("uv", Path("python"), settings, ["https://cpu"])
    assert "secret" not in " ".join(command)
    assert variables["UV_DEFAULT_INDEX"] == "https://me:secret@host/simple"
    assert variables["UV_INDEX"] == "https://a/simple https://b/simple https://cpu"


def test_a_setting_that_uv_cannot_be_given_leaves_the_work_to_pip(capsys: pytest.CaptureFixture[str]) -> None:
    assert not install.installed_by_uv("uv", Path("python"), {"require-hashes": "true"}, [], ["thing"])
    assert "require-hashes" in capsys.readouterr().out


def test_a_uv_that_fails_leaves_the_work_to_pip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken := tmp_path / "uv").write_text("#!/bin/sh\nexit 2\n")
    broken.chmod(0o755)
    assert not install.installed_by_uv(str(broken), Path("python"), {}, [], ["thing"])
    assert "uv could not install it" in capsys.readouterr().out


@pytest.fixture
def cpu_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with a folder of torch."""
    (tmp_path / "torch").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(install, "CPU_TORCH", address)
        monkeypatch.setenv("PATH", "")  # no nvidia-smi
        yield address
        server.shutdown()


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_cpu_builds_of_torch_are_asked_for_where_they_are_offered_and_no_index_of_the_users_own_is_set(
    cpu_index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install.takes_cpu_torch({})
    assert not install.takes_cpu_torch({"index-url": "https://mine/simple"})
    assert not install.takes_cpu_torch({"no-index": "true"})
    monkeypatch.setattr(install, "CPU_TORCH", f"{cpu_index}/nothing")
    assert not install.takes_cpu_torch({})


@pytest.mark.parametrize("quiet", ["PIP_QUIET", "pip.conf"])
def test_a_quiet_pip_is_heard_all_the_same(configured: Path, monkeypatch: pytest.MonkeyPatch, quiet: str) -> None:
    if quiet == "PIP_QUIET":
        monkeypatch.setenv(quiet, "2")
    else:
        (configured / quiet).write_text(f"[global]\nquiet = 2\nno-index = true\nconstraint = {configured}/caps.txt\n")
    settings = install.pip_settings(PIP)
    assert (settings["no-index"], settings["constraint"]) == ("true", f"{configured}/caps.txt")


def test_a_configuration_that_pip_cannot_read_is_said_in_pips_words(configured: Path) -> None:
    (configured / "pip.conf").write_text("index-url = x\n")
    with pytest.raises(SystemExit, match=r"pip cannot read its configuration: [\s\S]*section header"):
        install.pip_settings(PIP)


def test_a_switch_that_is_off_changes_nothing() -> None:
    assert [install.is_on(value) for value in ("1", "true", "on", "0", "False", "no")] == [True] * 3 + [False] * 3
