"""One GPU in at most eight minutes, without a network: is what it computes right, and how fast is it?

    make bench-gpu                     # or, with torch and numpy alone: python -m benchmarks.gpu
    python -m benchmarks.gpu --dry-run # toy sizes on the processor, in torch: nothing is kept

Correctness comes first: the rows of twenty nasty searches and of each measured one against plain float64, vectors of
pictures against the processor's. Then the search, the embedding from stored frames, and the share of a training step
that waits for the loader. Nothing is fetched. A part that needs a package, memory or time that is not there says so and
is left out; torch and numpy are enough for all but the loader. Lines are written to `benchmarks/results-gpu.md` as they
come. Exit status: 1 where something is wrong, 2 without a GPU, 3 where time ran out inside a part.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu_absent import PACKAGES, missing, stand_in
from benchmarks.gpu_page import Bench, Line, Page, Part, Sizes, lines_of, name_of

SECONDS = 480
MARGIN = 10  # seconds before that at which it ends whatever is going on
RESULTS = Path(__file__).parent / "results-gpu.md"


FULL = Sizes(1.0, 100_000, (512, 39), 100, 256, 32_768, 224, 3, 4.0)
TOY = Sizes(0.02, 400, (20, 7), 10, 3, 20, 32, 1, 0.1)


def run(parts: Sequence[tuple[Part, int]], bench: Bench, page: Page, stop: float) -> None:
    """Each part with the seconds that it may need; one that would end after `stop` (time.monotonic) is left out."""
    for part, seconds in parts:
        left = stop - time.monotonic()
        if left < seconds:
            page.add(Line(name_of(part), "left out", note=f"{left:.0f} s are left and it may need {seconds}"))
            continue
        for line in lines_of(name_of(part), part(bench)):
            page.add(line)


def head_of(device: str) -> str:
    """What this was run on: card, driver, torch, date, commit, and the packages that are missing."""
    import torch

    card = "the processor, a dry run with toy sizes: no figure means anything"
    if device == "cuda":
        found = torch.cuda.get_device_properties(0)
        card = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, driver {_said('nvidia-smi', *DRIVER) or 'unknown'}"
    absent = missing(PACKAGES)
    facts = [
        f"card: {card}",
        f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}, "
        f"{len(os.sched_getaffinity(0))} cores",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"not installed: {', '.join(absent) if absent else 'nothing that is used'}",
    ]
    words = "`make bench-gpu`. A ratio of 1 or less reaches the aim; bold is wrong or misses it."
    return "\n".join(["# Results on a GPU", "", words, "", *(f"* {fact}" for fact in facts)])


DRIVER = ("--query-gpu=driver_version", "--format=csv,noheader")


def _commit() -> str:
    changed = _said("git", "-C", str(RESULTS.parent), "status", "--porcelain", "--untracked-files=no")
    commit = _said("git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD")
    return f"{commit}{', with changes' if changed else ''}" if commit else "unknown"


def _said(*command: str) -> str:
    """The first line that a command prints; nothing where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return found.stdout.strip().split("\n")[0] if found.returncode == 0 else ""


def _cut(page: Page, folder: str) -> None:
    """Say that the time is over, and end, whatever goes on."""
    page.add(Line("the whole", "cut", note=f"its {SECONDS} s were over; the part that ran is not in this list"))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(3)


def main(arguments: Sequence[str] | None = None) -> int:
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="toy sizes, on the processor")
    parser.add_argument("--out", type=Path, help=f"the file of results; {RESULTS.name} unless it is a dry run")
    parser.add_argument("--only", nargs="+", default=(), help="names of parts, such as search_speed")
    options = parser.parse_args(arguments)
    stand_in()
    import torch

    from benchmarks.gpu_parts import PARTS

    if not options.dry_run and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} finds no GPU here. With another Python: make bench-gpu PYTHON=python3. "
            "Toy sizes on the processor: make bench-gpu DRY=1",
            file=sys.stderr,
        )
        return 2
    chosen = [(part, seconds) for part, seconds in PARTS if not options.only or part.__name__ in options.only]
    device, sizes = ("cpu", TOY) if options.dry_run else ("cuda", FULL)
    page = Page(head_of(device), options.out or (None if options.dry_run else RESULTS), not options.dry_run)
    print(page.head, "\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        clock = threading.Timer(SECONDS - MARGIN, _cut, [page, folder])
        clock.daemon = True
        clock.start()
        bench = Bench(device, "torch-cpu" if options.dry_run else "cuda", sizes, Path(folder))
        run(chosen, bench, page, begun + SECONDS - MARGIN)
        clock.cancel()
    page.add(Line("the whole", f"{time.monotonic() - begun:.0f} s", f"{SECONDS} s"))
    return int(page.wrong)


if __name__ == "__main__":
    sys.exit(main())
