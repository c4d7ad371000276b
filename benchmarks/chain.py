"""The whole REGENT chain of one full-size task: seconds of each stage, and the highest memory of all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, print_table
from benchmarks.retrieval import STEPS, observations
from pipeline.artifacts.artifact import EPISODES, Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, grow
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode, with_last_row

ROOT = Path(__file__).resolve().parent.parent


def made_dataset(root: str) -> None:
    """1,000 episodes of 100 states of 39 numbers, as Meta-World's, without simulating them."""
    states = observations().reshape(-1, STEPS, 39).astype(np.float64)
    rng = np.random.default_rng(0)

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        for episode in states:
            steps = {
                "observation": np.concatenate([episode, episode[-1:]]),
                "action": with_last_row("action", rng.uniform(-1, 1, (STEPS, 4)).astype(np.float32)),
                "reward": with_last_row("reward", rng.uniform(0, 10, STEPS)),
                "discount": with_last_row("discount", np.ones(STEPS)),
            }
            writer.append(Episode(steps, truncated=True, end_reason="time_limit"))
        return Noticed()

    spec = Spec("metaworld", "assembly", EPISODES, EPISODES_FORMAT, {"made": "benchmark"}, name="scripted-v1")
    grow(Workspace(root), spec, Amount(episodes=len(states)), fill)


def measure(quick: bool = False) -> list[Row]:
    """One row per stage, run by run.py in a process of its own; none of them has a goal, so quick has none."""
    if quick:
        return []
    with tempfile.TemporaryDirectory() as root:
        made_dataset(root)
        command = [sys.executable, str(ROOT / "run.py"), "stage=regent", "domain=metaworld", "task=assembly"]
        subprocess.run([*command, f"paths.root={root}"], check=True)
        rows = []
        for path in sorted(Path(root).glob("artifacts/*/*/*/*/manifest.json")):
            manifest = json.loads(path.read_text())
            if manifest["kind"] != EPISODES:
                memory = f"peak memory so far {manifest['peak_memory_bytes'] / 1e6:,.0f} MB"
                rows.append(Row(f"{manifest['kind']}, 100,000 states", manifest["seconds"], note=memory))
    order = {kind: number for number, kind in enumerate(("retrieval", "distances", "bins", "parquet"))}
    return sorted(rows, key=lambda row: order[row.work.split(",")[0]])


def main() -> None:
    print_table(measure())


if __name__ == "__main__":
    main()
