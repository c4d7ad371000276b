"""tools/slurm.py: where no Slurm can be had it says why, and what it runs ends as it would alone."""

from __future__ import annotations

import os
import sys

import pytest

from tests.interop.test_slurm import tool

slurm = tool()


def test_a_user_without_the_packages_is_told_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(slurm, "PLACES", "")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert slurm.main(["true"]) == 1
    text = capsys.readouterr().err
    assert "these programs are missing: munged, slurmctld" in text
    assert "sudo apt-get install --yes --no-install-recommends slurm-wlm munge" in text


def test_the_exit_status_is_that_of_the_command():
    assert slurm.run([sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['A']))"], {"A": "7"}) == 7


def test_what_never_comes_is_told_with_the_end_of_the_logs(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "SECONDS", 0)
    (tmp_path / "slurmd.log").write_text("one\nerror: no such node\n")
    with pytest.raises(slurm.NotHere, match="slurmd does not start\none\nerror: no such node"):
        slurm.wait_for(lambda: False, "slurmd", tmp_path)


def test_ports_are_free_and_different():
    assert len({*slurm.free_ports(3)}) == 3
