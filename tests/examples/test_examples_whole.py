"""The commands in the examples' docstrings, run as a user would: how well the policies play."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def ran(name: str, outputs: Path) -> str:
    """What an example printed, after the commands that its docstring names were run in their order."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text()))
    commands = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("python ")]
    assert commands[-1][1:] == [f"examples/{name}.py"]
    places = {
        "run.py": [f"paths.root={outputs}"],
        "examples/log_training.py": ["--root", str(outputs), "--checkpoints", str(outputs / "agents")],
    }
    for _, script, *words in commands:
        command = [sys.executable, script, *words, *places.get(script, [str(outputs)])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout


def returns(printed: str) -> list[float]:
    """The mean return of what was played and of the data, in turns."""
    return [float(each) for each in re.findall(r"mean return ([\d.]+)", printed)]


def solved(printed: str) -> list[int]:
    """Percent of the episodes that were played and of those of the data, in turns."""
    return [int(each) for each in re.findall(r"(\d+)% of them solved", printed)]


def test_a_clone_solves_what_the_expert_solves(outputs):
    printed = ran("behaviour_cloning", outputs)
    played, data = returns(printed)
    assert played > 0.8 * data
    assert solved(printed)[0] >= 85


def test_retrieved_actions_solve_some_of_it(outputs):
    assert 25 <= solved(ran("retrieve_and_play", outputs))[0] <= 85


def test_a_policy_of_contexts_solves_more_than_retrieved_actions(outputs):
    first, _, second, _ = solved(ran("context_policy", outputs))
    assert min(first, second) >= 70


def test_a_decision_transformer_is_better_than_its_data_and_does_as_it_is_told(outputs):
    high, data, low, _ = returns(ran("decision_transformer", outputs))
    assert high > 2 * data
    assert low < 0.9 * high
