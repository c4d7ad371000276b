"""The main job on real input: experts of three Meta-World tasks, from simulator to retrieval-ready data and a page.

python examples/demo.py [key=value ...]     further words are handed to run.py: episodes=5, task=all
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline.artifacts.artifact import Artifact, Manifest  # noqa: E402
from pipeline.campaign.console import success_rate, wide_console  # noqa: E402
from pipeline.machine.files import human_bytes, size_of  # noqa: E402

TASKS = ("assembly", "door-open", "soccer")


def main() -> int:
    """Run every stage for the three tasks, then show what was made."""
    command = [sys.executable, str(ROOT / "run.py"), "stage=[all,report]", "domain=metaworld"]
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    run_folder = Path(given.get("paths.root", ROOT / "outputs")) / "runs" / "demo"
    words = [f"task=[{','.join(TASKS)}]", f"hydra.run.dir={run_folder}", *sys.argv[1:]]
    print("$ python run.py", shlex.join([*command[2:], *words]), flush=True)
    status = subprocess.run([*command, *words], check=False).returncode
    made = run_folder / "artifacts.json"
    by_task: dict[str, dict[str, Artifact]] = {}
    for entry in json.loads(made.read_text()) if made.exists() else []:
        artifact = Artifact(Path(entry["path"]), Manifest.read(Path(entry["path"])))
        by_task.setdefault(artifact.manifest.task, {})[artifact.manifest.kind] = artifact
    console = wide_console()
    console.print(overview({task: kinds for task, kinds in by_task.items() if "episodes" in kinds}))
    for task, kinds in by_task.items():  # those of the whole domain have a page, too: the index
        if "report" in kinds:
            console.print(f"{task}: {kinds['report'].path / 'page' / 'index.html'}", soft_wrap=True)
    return status


def overview(by_task: dict[str, dict[str, Artifact]]) -> Table:
    """One line per task: episodes, success, states, seconds of each stage, bytes of each artifact."""
    kinds = list(dict.fromkeys(kind for artifacts in by_task.values() for kind in artifacts))
    table = Table(box=None)
    for column in ("task", "episodes", "success", "states", *kinds):
        table.add_column(column, justify="left" if column == "task" else "right")
    for task, artifacts in by_task.items():
        episodes = artifacts["episodes"]
        counts = episodes.manifest.counts
        cells = [
            f"{artifacts[kind].manifest.seconds:.1f} s, {human_bytes(size_of(artifacts[kind].path))}"
            if kind in artifacts
            else "failed"
            for kind in kinds
        ]
        table.add_row(task, f"{counts['episodes']:,}", success_rate(episodes), f"{counts['states']:,}", *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
