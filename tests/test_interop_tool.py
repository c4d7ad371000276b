"""tools/interop.py: side environments are made as their requirements say, or left out with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.side import run_by, tool
from tests.test_install import wheel

interop = tool()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with a wheel of the package `thing` for all that pip and uv will find."""
    wheel(tmp_path, "1.0")
    for key, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(interop, "PLACE", tmp_path / ".interop")
    monkeypatch.setattr(interop, "REQUIREMENTS", tmp_path)
    return tmp_path


def things(wanted: str) -> dict[str, object]:
    import thing  # of the wheel

    return {"wanted": wanted, "file": thing.__file__}


def seen() -> dict[str, object]:
    import importlib.util as util

    return {"numpy": util.find_spec("numpy") is not None, "torch": util.find_spec("torch") is not None}


def test_an_environment_has_what_is_listed_and_is_made_again_when_the_list_changes(place: Path) -> None:
    requirements = place / "small.txt"
    requirements.write_text("# beside: project\nthing==1.0\n")
    python = interop.environment("small")
    answer = run_by(python, things, "a text")
    assert str(answer["wanted"]) == "a text"
    assert str(answer["file"]).startswith(str(place))
    assert run_by(python, seen)["torch"]
    (place / ".interop" / "small" / "mark").touch()
    assert interop.environment("small") == python
    assert (place / ".interop" / "small" / "mark").exists()
    requirements.write_text("# beside: project\n# changed\nthing==1.0\n")
    interop.environment("small")
    assert not (place / ".interop" / "small" / "mark").exists()


def test_what_cannot_be_had_is_left_out_with_the_reason(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "future.txt").write_text("# python: 9.9\nthing==1.0\n")
    (place / "offline.txt").write_text("thing==2.0\n")
    assert interop.main([]) == 0
    said = capsys.readouterr().out
    assert "future: left out, it needs Python 9.9" in said
    assert "offline: left out, its packages cannot be fetched: the package index does not answer" in said


def test_a_list_that_cannot_be_installed_although_the_index_answers_is_an_error(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "wrong.txt").write_text("thing==2.0\n")
    monkeypatch.setattr(interop, "index_answers", lambda: True)
    with pytest.raises(RuntimeError, match=r"wrong\.txt cannot be installed"):
        interop.environment("wrong")


def test_a_reader_that_fails_says_why() -> None:
    with pytest.raises(AssertionError, match="No module named 'thing'"):
        run_by(Path(sys.executable), things, "")
