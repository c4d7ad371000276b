"""The script for one GPU: its dry run, where packages, memory or time are missing, and that it sees faults."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import TOY, run
from benchmarks.gpu_absent import MissingPackage
from benchmarks.gpu_network import PlainNetwork
from benchmarks.gpu_page import Bench, Line, Page, lines_of
from benchmarks.gpu_parts import PARTS, embedding_speed, rows_on, search_rows, search_speed, wrong_rows
from benchmarks.gpu_sets import nasty_sets
from pipeline.embedding.networks import RegentResNet18
from pipeline.embedding.settings import DTYPES
from pipeline.embedding.weights import load

ONLY_TORCH_AND_NUMPY = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in sys.argv[1].split() else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hiding, sys.meta_path)
from benchmarks import gpu
sys.exit(gpu.main(["--dry-run", "--only", "search_rows", "loader_waiting"]))
"""

OTHERS = (
    "PIL blake3 faiss google_crc32c h5py hydra isal jaxtyping llvmlite numba numcodecs omegaconf pyarrow safetensors "
    "scipy tenacity tensorstore threadpoolctl torchvision yaml zarr zlib_ng"
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("cpu", "torch-cpu", TOY, tmp_path)


def lost_memory(bench):
    """A part for a larger card. Not this one."""
    yield Line("a first line", "1 s")
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate 80 GiB | of 8")


def lost_package(bench):
    raise MissingPackage("the package numba")
    yield


def broken(bench):
    raise ValueError("not this")
    yield


def test_a_dry_run_writes_a_page_of_right_rows_and_of_figures(tmp_path, capsys):
    page = tmp_path / "page.md"
    assert gpu.main(["--dry-run", "--out", str(page), "--only", "search_rows", "vectors_right", "loader_waiting"]) == 0
    text = page.read_text()
    assert "| rows of nasty searches, usual tiles | 20 of 20 right | 20 |" in text
    assert "| rows of nasty searches, small tiles | 20 of 20 right | 20 |" in text
    assert "| vectors of 3 pictures, float32, eager, against the processor's | 0.0e+00 off |" in text
    assert "% of a step | 5% |" in text
    assert "no figure means anything" in text
    assert "**" not in text  # toy sizes miss no aim
    assert not any(word in text for word in ("wrong |", "failed", "left out"))
    assert text.splitlines()[-1] in capsys.readouterr().out


def test_speeds_have_an_aim_only_at_the_sizes_that_it_is_for(bench):
    lines = list(search_speed(replace(bench, sizes=replace(TOY, vectors=50, dimensions=(3,), k=2))))
    assert [line.figure for line in lines if "rows of 5" in line.work] == ["right"]
    assert not any(line.aim or line.wrong for line in lines)
    lines = list(embedding_speed(replace(bench, sizes=replace(TOY, frames=4))))
    assert {line.work.split(", ")[1]: line.aim for line in lines} == {
        dtype: "" if dtype == "float32" else "20,000/s" for dtype in DTYPES
    }


def test_a_wrong_row_is_found():
    right = rows_on("torch-cpu")

    def careless(each):
        """Two neighbours of one query of one set change places."""
        rows = right(each)
        if each.name == "whole numbers: ties":
            rows[3, [0, 1]] = rows[3, [1, 0]]
        return rows

    def raising(each):
        return right(each)[each.metric == "l2" or "no such row"]

    found = list(wrong_rows(0.01, careless=careless, raising=raising))
    assert len(found) == 40
    wrong = [(name, search, what.split(":")[0]) for name, search, what in found if what]
    assert [each for each in wrong if each[1] == "careless"] == [
        ("whole numbers: ties", "careless", "1 queries, the first is 3")
    ]
    assert {what for _, search, what in wrong if search == "raising"} == {"IndexError"}


def test_nasty_sets_have_what_their_names_promise():
    sets = {each.name: each for each in nasty_sets(0.02)}
    ties = sets["whole numbers: ties"].answer()
    assert ties.shape == (10, 30)
    assert sets["more neighbours than keys"].keys.shape[0] < sets["more neighbours than keys"].k
    assert np.signbit(sets["minus zero and zero"].keys).any()
    assert (sets["multiples of few vectors and zeros, cosine"].keys == 0).all(axis=1).any()
    assert any(each.excluded is not None for each in sets.values())


def test_what_a_part_lacks_is_said_and_the_others_go_on(bench):
    page = Page("head", None)
    run([(lost_memory, 1), (lost_package, 1), (search_rows, 10_000)], bench, page, time.monotonic() + 100)
    figures = {line.work: (line.figure, line.note) for line in page.lines}
    assert figures["A part for a larger card"][1].startswith(
        "this card has too little memory: CUDA out of memory. Tried"
    )
    assert "|" not in figures["A part for a larger card"][1]
    assert figures["lost_package"][1].startswith("needs the package numba")
    assert figures["Rows of twenty nasty searches"][1].endswith("s are left and it may need 10000")
    assert figures["a first line"] == ("1 s", "")
    assert not page.wrong


def test_a_fault_in_a_part_is_no_success(bench):
    assert [(line.work, line.figure, line.wrong) for line in lines_of("this", broken(bench))] == [
        ("this", "failed", True)
    ]


def test_the_parts_fit_into_eight_minutes_with_what_begins_them():
    assert sum(seconds for _, seconds in PARTS) <= gpu.SECONDS - gpu.MARGIN - 20


def test_when_the_time_is_over_it_says_so_and_ends(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(gpu.os, "_exit", ended.append)
    page = Page("head", tmp_path / "page.md")
    (tmp_path / "frames").mkdir()
    gpu._cut(page, str(tmp_path / "frames"))
    assert ended == [3]
    assert page.file.read_text().splitlines()[-1].startswith("| the whole | cut |")
    assert not (tmp_path / "frames").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_how_to_go_on(capsys):
    assert gpu.main([]) == 2
    assert "make bench-gpu DRY=1" in capsys.readouterr().err


def test_torch_and_numpy_are_enough_for_the_search_and_what_the_loader_lacks_is_named():
    found = subprocess.run(
        [sys.executable, "-c", ONLY_TORCH_AND_NUMPY, OTHERS], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "usual tiles | 20 of 20 right" in found.stdout
    assert "needs the packages blake3, google_crc32c, llvmlite, numba, tensorstore" in found.stdout


def test_the_network_of_torchs_own_layers_is_regents():
    plain, regents = (load(each, "random", 0).eval() for each in (PlainNetwork(), RegentResNet18()))
    regents.load_state_dict(plain.state_dict())
    pictures = torch.rand(2, 3, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(plain(pictures), regents(pictures), rtol=1e-5, atol=1e-5)
