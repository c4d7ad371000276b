"""The door to logs of EnvLogger where the package is not there; tests/interop/test_envlogger.py has real logs."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput, UnknownName
from pipeline.sources.envlogger.source import EnvLoggerSource
from tests.pipeline.sources.envlogger.sent import log_folder


def test_a_machine_without_the_environment_is_told_how_to_make_it(tmp_path):
    source = EnvLoggerSource(str(log_folder(tmp_path / "log")), str(tmp_path / "nowhere" / "python"))
    with pytest.raises(InvalidInput, match=r"(?s)there is no .*nowhere.*make setup-envlogger.*source\.python="):
        source.identity("dmc", "catch")


def test_a_python_without_the_package_is_told_what_is_missing(tmp_path):
    source = EnvLoggerSource(str(log_folder(tmp_path / "log")), sys.executable)
    with pytest.raises(InvalidInput, match=r"(?s)cannot be imported by .*No module named.*make setup-envlogger"):
        list(source.episodes("dmc", "catch"))


@pytest.mark.parametrize(("python", "words"), [("/bin/false", "ended with status 1"), (__file__, "cannot be started")])
def test_a_reader_that_dies_or_is_none_is_said_to_be(tmp_path, python, words):
    with pytest.raises(InvalidInput, match=words):
        EnvLoggerSource(str(log_folder(tmp_path / "log")), python).identity("dmc", "catch")


def test_a_folder_that_is_no_log_is_said_to_be_and_one_of_several_is_found_by_its_task(tmp_path):
    (tmp_path / "text.txt").write_text("x")
    for path in (tmp_path, tmp_path / "text.txt"):
        with pytest.raises(InvalidInput, match=r"holds no log of EnvLogger\. Wanted"):
            EnvLoggerSource(str(path), sys.executable).identity("dmc", "catch")
    log_folder(tmp_path / "catch")
    with pytest.raises(UnknownName, match="cathc.*catch"):
        EnvLoggerSource(str(tmp_path), sys.executable).identity("dmc", "cathc")
    with pytest.raises(InvalidInput, match="No module named"):
        EnvLoggerSource(str(tmp_path), sys.executable).identity("dmc", "catch")
    with pytest.raises(InvalidInput, match=str(tmp_path / "nowhere")):
        EnvLoggerSource(str(tmp_path / "nowhere"), sys.executable).identity("dmc", "catch")
    with pytest.raises(InvalidInput, match="source.incomplete"):
        EnvLoggerSource(str(tmp_path), sys.executable, incomplete="kep")


def test_the_reader_imports_nothing_of_this_project():
    text = Path("pipeline/sources/envlogger/reader.py").read_text()
    assert "pipeline." not in text
    assert "jaxtyping" not in text
