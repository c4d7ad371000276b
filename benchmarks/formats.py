"""Exports and the way back, against each form's own library in bulk and against writers that people use today.

python -m benchmarks.formats                    every form of conf/format, both sets, best of three turns
python -m benchmarks.formats --only kabuki d4rl --repeats 5 --no-memory

TMPDIR=/dev/shm keeps a busy disk out of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from benchmarks.format_peers import Unknown, read_to_disk, write_named, written_again
from benchmarks.format_records import by_library
from benchmarks.format_writers import WRITERS, of_bulk
from benchmarks.measure import Row, print_table
from pipeline.artifacts.artifact import EPISODES as DATASET
from pipeline.artifacts.artifact import Artifact, artifact_at
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.episode import Episode, with_last_row
from pipeline.formats.contract import CannotHold, Format, Outgoing
from pipeline.formats.exports import held_digest
from pipeline.formats.provenance import provenance
from pipeline.machine.files import sync_tree
from pipeline.machine.memory import keep_freed_memory
from pipeline.sources.contract import Source
from stages import ingest

RESULTS = Path(__file__).parent / "results.md"
SECTION = "## Forms"
CONF = Path(__file__).parent.parent / "conf"
DOMAIN = Domain("toy", None, 5, dict, ["corner"], Regent(32, 5, 20, 100))
EPISODES, STEPS, FLOATS = 1_000, 100, 39
SCREEN_EPISODES, SCREENS = 12, 1_000
GAME = "enduro"
LARGE = 2**30
"""Bytes of screens in the set on which memory is measured."""

VARIANTS: dict[str, list[list[str]]] = {
    "hdf5": [[], ["format.compression=gzip"]],
    "minari": [[], ["format.data=arrow"], ["format.data=parquet"]],
    "rlds": [[], ["format.file=tfrecord"]],
}
"""Settings that are measured beside the defaults."""


@dataclass(frozen=True)
class Form:
    """A form with settings, as a user names it."""

    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.words[0].removeprefix("format=")

    @property
    def label(self) -> str:
        return " ".join(self.words)

    def built(self) -> Format:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return instantiate(compose("config", [*self.words, "domain=toy", "stage=export"]).format.writer)


def forms() -> list[Form]:
    """Every form of conf/format that a door reads."""
    names = sorted(path.stem for path in (CONF / "format").glob("*.yaml"))
    every = [Form((f"format={name}", *more)) for name in names for more in VARIANTS.get(name, [[]])]
    return [form for form in every if form.built().source(Path("nowhere")) is not None]


class Made(Source):
    """Episodes that are made when they are asked for."""

    name = "made"

    def __init__(self, label: str, episodes: Callable[[], Iterator[Episode]]) -> None:
        self.label, self.made = label, episodes

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        return {"source": self.name, "of": self.label}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        yield from self.made()


def vectors() -> Iterator[Episode]:
    """EPISODES of STEPS steps with FLOATS numbers each."""
    rng = np.random.default_rng(0)
    for number in range(EPISODES):
        yield _episode(
            rng.normal(size=(STEPS + 1, FLOATS)), rng.normal(size=(STEPS, 4)).astype(np.float32), number, rng
        )


def screens(episodes: int = SCREEN_EPISODES) -> Iterator[Episode]:
    """Episodes of SCREENS screens of random play, the same twelve again and again."""
    played, rng = _play(), np.random.default_rng(0)
    for number in range(episodes):
        frames = played[number % len(played)]
        yield _episode(frames, rng.integers(0, 9, SCREENS), number, rng)


def _episode(observations: np.ndarray, actions: np.ndarray, seed: int, rng: np.random.Generator) -> Episode:
    steps = len(actions)
    return Episode(
        steps={
            "observation": observations,
            "action": with_last_row("action", actions),
            "reward": with_last_row("reward", rng.normal(size=steps)),
            "discount": with_last_row("discount", np.ones(steps)),
        },
        seed=seed,
        truncated=True,
        end_reason="time_limit",
    )


@cache
def _play() -> np.ndarray:
    """(SCREEN_EPISODES, SCREENS + 1, 84, 84) uint8 of one game, random players side by side."""
    from ale_py.vector_env import AtariVectorEnv

    environment = AtariVectorEnv(GAME, num_envs=SCREEN_EPISODES, stack_num=1, frameskip=4)
    environment.reset(seed=0)
    rng = np.random.default_rng(0)
    frames = np.empty((SCREEN_EPISODES, SCREENS + 1, 84, 84), np.uint8)
    for step in range(SCREENS + 1):
        shown, *_ = environment.step(rng.integers(0, environment.single_action_space.n, SCREEN_EPISODES))
        frames[:, step] = np.asarray(shown).reshape(-1, 84, 84)
    return frames


SETS: dict[str, Callable[[], Iterator[Episode]]] = {
    f"{EPISODES:,} x {STEPS} x {FLOATS} floats": vectors,
    f"{SCREEN_EPISODES} x {SCREENS:,} screens of {GAME}": screens,
}


QUICK = ("d4rl", "kabuki", "npz")
"""Those that need no environment of their own."""


def stored(source: Source, folder: Path, storage: str = "zarr") -> Artifact:
    """The episodes of a source as a dataset of ours, by the real stage."""
    artifact = ingest.run(
        domain=DOMAIN, task="corner", source=source, workspace=Workspace(str(folder), storage), dataset="made-v1",
        episodes=None, states=None, force=False,
    )  # fmt: skip
    assert artifact is not None
    return artifact


def outgoing(artifact: Artifact) -> Outgoing:
    """A dataset on its way out, opened anew."""
    dataset = EpisodeDataset.of(artifact)
    return Outgoing("toy", "corner", dataset, provenance(artifact, dataset, {}))


def export(form: Format, artifact: Artifact, place: Path) -> None:
    """Write a dataset in a form, durably, with the digest of what it holds, as stage=export does."""
    data = outgoing(artifact)
    form.write([replace(data, held=held_digest(form, data, any(form.lost(data))))], place)
    sync_tree(place)


def iterate(form: Format, path: Path) -> None:
    for _ in form.source(path).episodes("toy", "corner"):
        pass


def read_back(form: Format, path: Path, place: Path) -> None:
    """The episodes of an export, each of their arrays into one file, durably."""
    episodes = form.source(path).episodes("toy", "corner")
    write_named(((name, array) for episode in episodes for name, array in episode.steps.items()), place)


def measure(
    repeats: int = 3, only: Sequence[str] = (), memory: bool = True, clock: str = "perf_counter", quick: bool = False
) -> list[Row]:
    """The rows of each form and set; quick: of one form of each family, with the first set."""
    keep_freed_memory()  # as run.py does
    repeats, only, memory = (1, QUICK, False) if quick else (repeats, only, memory)
    chosen = [form for form in forms() if not only or form.name in only]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for label, made in list(SETS.items())[: 1 if quick else None]:
            artifact = stored(Made(label, made), Path(folder) / label.replace(" ", "-"))
            for form in chosen:
                rows += compare(form, label, artifact, repeats, clock)
        if memory:
            episodes = LARGE // (84 * 84 * SCREENS)
            artifact = stored(Made("large", partial(screens, episodes)), Path(folder) / "large")
            rows += [row for form in chosen for row in peaks(form, artifact)]
    return rows


def compare(form: Form, label: str, artifact: Artifact, repeats: int, clock: str) -> list[Row]:
    """The rows of one form and one set: out, and back in."""
    format = form.built()
    data = outgoing(artifact)
    try:
        format.require([data])
    except CannotHold as error:
        print(f"{form.label}: {error}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        first.mkdir()
        export(format, artifact, first)
        path = first / format.place([data])
        raw = sum(array.nbytes for episode in data.dataset[:10] for array in episode.steps.values()) / 10 * len(data)
        functions: dict[str, Callable[[Path], Any]] = {
            "store": lambda place: sum(1 for _ in outgoing(artifact).episodes()),
            "out": lambda place: export(format, artifact, place),
            "in": lambda place: read_back(format, path, place),
            "ingest": lambda place: stored(format.source(path), place, "bin"),
        }
        records: dict[str, float] = {}
        try:
            functions |= {"bulk": written_again(path), "library": lambda place: read_to_disk(path, place)}
        except Unknown as error:
            if not (records := by_library(path, Path(folder), repeats, clock)):
                print(f"{form.label}: no peer for {error}", file=sys.stderr)
        cost = in_turns(repeats, Path(folder), functions, clock) | records
        peers = [found for each in WRITERS.get(form.name, ()) if (found := each.seconds(data, Path(folder), clock))]
    out, back = cost["out"], cost["in"]
    bulk, library = cost.get("bulk"), cost.get("library")
    told = [f"without reading the store ({cost['store']:.3g} s) {(out - cost['store']) / bulk:.2f}"] if bulk else []
    way_out = partial(Row, f"{label} to {form.label}", out, peer_goal=1 / 5, limit_goal=2)
    way_in = partial(Row, f"{label} from {form.label}", back, limit_goal=2)
    peer, peer_s = peers[0] if peers else ("", None)
    notes = [*told, of_bulk(peer_s, out, bulk), f"{raw / out / 1e6:,.0f} MB/s"]
    rows = [way_out(peer, peer_s, "its library, in bulk", bulk, note="; ".join(filter(None, notes)))]
    rows += [way_out(peer, peer_s, note=of_bulk(peer_s, out, bulk)) for peer, peer_s in peers[1:]]
    if "bare_in" in cost:
        rows.append(way_out(limit="encoded records written", limit_s=cost["bare_out"], limit_goal=None))
        rows.append(way_in(limit="records copied undecoded", limit_s=cost["bare_in"], limit_goal=None))
    note = f"as a dataset of ours, with digests, {cost['ingest']:.3g} s"
    rows.append(way_in(limit="its library, to .npy", limit_s=library, note=note))
    print(f"{form.label}: done with {label}", file=sys.stderr, flush=True)
    return rows


def in_turns(
    repeats: int, folder: Path, functions: Mapping[str, Callable[[Path], Any]], clock: str
) -> dict[str, float]:
    """As `measure.best_of`, each in a new folder that is removed afterwards."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            place = Path(tempfile.mkdtemp(dir=folder))
            start = getattr(time, clock)()
            function(place)
            best[name] = min(best[name], getattr(time, clock)() - start)
            shutil.rmtree(place)
    return best


def peaks(form: Form, artifact: Artifact) -> list[Row]:
    """The most memory of a process that exports, and of one that reads it back."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for way in ("out", "in"):
            given = f"{list(form.words)!r}, {way!r}, {str(artifact.path)!r}, {folder!r}"
            code = f"from benchmarks.formats import report; report({given})"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{form.label}: {done.stderr[-2000:]}", file=sys.stderr)
                break
            answer = json.loads(done.stdout.splitlines()[-1])
            words = f"1 GB of screens {'to' if way == 'out' else 'from'} {form.label}"
            rows.append(Row(words, answer["seconds"], note=f"peak memory {answer['peak'] / 1e6:,.0f} MB"))
    return rows


def report(words: list[str], way: str, path: str, folder: str) -> None:
    """Export, or read back, and print time and peak memory of this process, for `peaks`."""
    keep_freed_memory()
    format, artifact = Form(tuple(words)).built(), artifact_at(path, DATASET)
    data = outgoing(artifact)
    start = time.perf_counter()
    if way == "out":
        export(format, artifact, Path(folder))
    else:
        iterate(format, Path(folder) / format.place([data]))
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's, too
    print(json.dumps({"seconds": seconds, "peak": int(status.split("VmHWM:")[1].split()[0]) * 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=(), help="names of forms, as in format=NAME")
    parser.add_argument("--no-memory", action="store_true", help="leave the gigabyte of screens out")
    parser.add_argument("--cpu", action="store_true", help="processor seconds: where others use the machine, too")
    arguments = parser.parse_args()
    clock = "process_time" if arguments.cpu else "perf_counter"
    print_table(measure(arguments.repeats, arguments.only, not arguments.no_memory, clock))


if __name__ == "__main__":
    main()
