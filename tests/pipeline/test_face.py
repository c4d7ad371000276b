"""The face: public names that load only what they need, and a tour whose examples are true."""

import doctest
import subprocess
import sys
import typing

import pytest

import pipeline

HEAVY = ("torch", "torchvision", "faiss", "numba", "gymnasium", "pyarrow", "datasets", "metaworld", "mujoco", "dm_env")
HEAVY += ("tensorstore", "h5py", "filelock")

NEEDED = {
    "ExactIndex": {"numba"},
    "RecordDmEpisodes": {"dm_env", "gymnasium"},
    "RecordEpisodes": {"gymnasium"},
    "RecordVectorEpisodes": {"gymnasium"},
    "environment_facts": {"gymnasium"},
}
"""Heavy packages that a name itself is made of."""


@pytest.mark.parametrize("name", pipeline.__all__)
def test_a_name_is_imported_without_the_heavy_packages_of_the_others(name):
    code = f"import sys; from pipeline import {name}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= NEEDED.get(name, set())


def test_all_names_are_there_and_listed():
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__name__ == name
    assert set(pipeline.__all__) <= set(dir(pipeline))
    assert set(pipeline.__all__) == set(pipeline._MODULES)


def test_a_type_checker_sees_the_same_names(monkeypatch):
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    seen: dict[str, object] = {"__name__": "seen"}
    with open(pipeline.__file__) as file:
        exec(compile(file.read(), pipeline.__file__, "exec"), seen)
    assert {name: seen[name] for name in pipeline.__all__} == {n: getattr(pipeline, n) for n in pipeline.__all__}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'Dataset'; it offers .*EpisodeDataset"):
        pipeline.Dataset  # noqa: B018


def test_the_tour_is_true(prepared, tmp_path, monkeypatch):
    root, _ = prepared
    (tmp_path / "outputs").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(pipeline, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 10
    assert result.failed == 0
