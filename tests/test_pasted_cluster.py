"""Commands that a cluster's refusal suggests, provoked and pasted, and where a sweep's jobs go."""

import json
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.plugins import Plugins
from hydra.types import RunMode

from pipeline import launchers
from pipeline.campaign import words
from pipeline.errors import InvalidInput
from pipeline.launchers import register_launchers, slurm
from pipeline.machine import extras
from tests.pipeline.launchers.programs import put
from tests.warm_shell import COMMAND, WarmShell

ROOT = Path(__file__).parent.parent
CONF, PAGE = ROOT / "conf", ROOT / "docs" / "cluster.md"


def composed(*words):
    """The configuration of a sweep as a whole, as Hydra composes it before the jobs' own."""
    loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))
    return loader.load_configuration("config", list(words), RunMode.MULTIRUN)


def test_a_sweep_of_experiments_is_given_to_the_cluster_that_is_added_to_it(monkeypatch):
    monkeypatch.setenv("REPERTOIRE_PROJECT", "/project")
    words = ("experiment=regent_metaworld,regent_mujoco", "+cluster=slurm", "cluster.partition=gpu", "cluster.cores=8")
    launcher = composed(*words).hydra.launcher
    assert launcher._target_ == "hydra_plugins.repertoire.slurm"
    assert (launcher.partition, launcher.cpus_per_task, launcher.mem) == ("gpu", 8, 16)
    register_launchers()
    assert launcher._target_ in Plugins.instance().class_name_to_class


def section(cluster):
    return PAGE.read_text().split(f"\n## {cluster.title()}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(("cluster", "commands"), [("slurm", 4), ("ray", 2)])
def test_the_commands_of_the_page_are_understood(cluster, commands, monkeypatch):
    monkeypatch.setenv("REPERTOIRE_PROJECT", "/project")
    lines = re.findall(r"^python (?:tools/slurm.py python )?run.py (.*?)(?:  +#.*)?$", section(cluster), re.MULTILINE)
    assert len(lines) == commands
    for line in lines:
        words = [word for word in shlex.split(line) if word != "-m"]
        assert composed(*words).hydra.launcher._target_ == f"hydra_plugins.repertoire.{cluster}"


@pytest.mark.parametrize("cluster", ["slurm", "ray"])
def test_the_page_lists_every_setting_with_its_default(cluster, monkeypatch):
    monkeypatch.setenv("REPERTOIRE_PROJECT", "/project")
    rows = re.findall(r"^\| (`cluster.*?) \| (.*?) \|", section(cluster), re.MULTILINE)
    listed = {name: default for names, default in rows for name in re.findall(r"`cluster\.(\w+)`", names)}
    shipped = composed(f"+cluster={cluster}").cluster
    plain = {name: value for name, value in shipped.items() if isinstance(value, int)}
    assert set(listed) == set(shipped)
    assert {name: json.loads(listed[name]) for name in plain} == plain


def test_a_launcher_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "pipeline.launchers.slurm", raising=False)
    monkeypatch.setitem(sys.modules, "hydra_plugins.hydra_submitit_launcher.submitit_launcher", None)
    with pytest.raises(InvalidInput, match=r"hydra-submitit-launcher is not installed.*repertoire\[launchers\]"):
        slurm()


def test_a_sweep_over_joblib_whose_launcher_is_missing_says_what_to_install(monkeypatch):

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "version", missing)
    with pytest.raises(InvalidInput, match=r"hydra-joblib-launcher is not installed.*repertoire\[launchers\]"):
        words.check_words(["-m", "hydra/launcher=joblib"], {}, [])


def test_a_sweep_over_ray_where_ray_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "pipeline.launchers.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match=r"Ray is not installed.*repertoire\[ray\]"):
        launchers.ray()


def test_a_sweep_over_ray_asks_for_what_is_set_under_cluster(monkeypatch):
    monkeypatch.setenv("REPERTOIRE_PROJECT", "/project")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    config = composed("task=corner,maze", "+cluster=ray", "cluster.cores=2", "+cluster.options.resources.large=1")
    launcher = config.hydra.launcher
    assert (launcher.address, launcher.num_cpus, launcher.memory, launcher.max_retries) == ("10.0.0.1:6379", 2, None, 3)
    assert launcher.options == {"resources": {"large": 1}}
    assert config.hydra.mode == RunMode.MULTIRUN
    register_launchers()
    assert launcher._target_ in Plugins.instance().class_name_to_class


@pytest.mark.slow
def test_a_sweep_that_no_cluster_takes_is_run_by_its_suggestion(tmp_path, monkeypatch):
    words = ("-m", "stage=collect", "domain=toy", "task=corner,maze", "workers=1", "episodes=1", "+cluster=slurm")
    put(tmp_path, monkeypatch)
    shell = WarmShell(tmp_path)
    try:
        shell.pasted(shell.suggested(*words)[-1])
        refuses = "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1"
        knows = f'grep -q partition=batch "$1" || {{ {refuses}; }}; exit 3'
        put(tmp_path, monkeypatch, sbatch=knows, srun="", squeue="", sinfo="echo batch")
        assert "cluster.partition=batch" in shell.suggested(*words, "cluster.partition=x")[-1]
        text = shell.run("stage=status")
        assert "the command failed: Slurm refuses the jobs: invalid partition specified: x." in text
        (finish,) = (line for line in COMMAND.findall(text) if "cluster.partition" in line)
        _, text = shell.paste(finish)
        assert "invalid partition" not in text  # this sbatch ends otherwise now
    finally:
        shell.close()
