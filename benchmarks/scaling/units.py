"""Measures the unit costs of `benchmarks.scaling.costs`, one core each, by this project's own commands and functions.

A command's cost is its time less that of the same command when all is done. Everything is measured some times, and the
median counts, because a plan is about the usual run and not about the best one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.embedding import REGENT
from benchmarks.retrieval import noise, observations
from benchmarks.scaling.inputs import GAMES, TASK, checkpoints, jat_screens, jat_vectors, played, vector_dataset
from benchmarks.start import PROJECT
from pipeline.machine.files import files_below
from pipeline.machine.threads import CORES

FRAMES = 400_000
"""Of the measured checkpoint: not the size that the check reads."""
MILLION = 1e6
JOINED = 5
"""Pieces, beside a single one, of which joining is measured."""
FIRST = ("source.quality=random", "source.num_slices=1")
"""The earliest checkpoint alone."""
TURNS = 3
INGEST = ("stage=ingest", "domain=atari", "source=dqn_replay", f"task={TASK}", "workers=1")
JAT = ("stage=ingest", "source=jat", "workers=1")
Units = dict[str, float]


def command(*words: str, program: str = "run.py") -> list[str]:
    """What runs the tool."""
    return [sys.executable, str(PROJECT / program), *words]


def environment() -> dict[str, str]:
    """Of a command that keeps to one core."""
    return {**os.environ, "PYTHONPATH": str(PROJECT), CORES: "1"}


def seconds(*words: str) -> float:
    """Of a command, from its start to its end. Raises CalledProcessError where it fails."""
    return beside((*words,))[0]


def beside(*commands: tuple[str, ...]) -> list[float]:
    """Of commands that run at the same time: the seconds of each."""
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            command(*words), cwd=PROJECT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for words in commands
    ]
    ended: dict[int, float] = {}
    while len(ended) < len(running):
        for number, each in enumerate(running):
            if number not in ended and each.poll() is not None:
                ended[number] = time.perf_counter() - began
        time.sleep(0.01)
    for each in running:
        _, errors = each.communicate()
        if each.returncode:
            raise subprocess.CalledProcessError(each.returncode, each.args, stderr=errors)
    return [ended[number] for number in range(len(running))]


def measure() -> Units:
    """All unit costs."""
    units: Units = {}
    for part in (starts, dqn_replay, jat, embedding, search, rest_of_the_chain, exports):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            units |= part(Path(folder))
        print(f"{part.__name__}: {time.perf_counter() - began:.0f} s", flush=True)
    return units


def starts(folder: Path) -> Units:
    """A sweep over jobs that are done, one after the other and by two processes."""
    words = ("-m", "stage=collect", "domain=toy", "task=corner", "policy=random", "episodes=2", "workers=1")
    swept = (*words, "hydra/launcher=joblib", f"paths.root={folder}")
    one, nine = "seed=1", f"seed={','.join(map(str, range(1, 10)))}"
    names = "dataset=random-${seed}-v1"
    two = "hydra.launcher.n_jobs=2"
    seconds(*swept, nine, names, "hydra.launcher.n_jobs=1")
    short = median(seconds(*swept, one, names, "hydra.launcher.n_jobs=1") for _ in range(TURNS))
    long = median(seconds(*swept, nine, names, "hydra.launcher.n_jobs=1") for _ in range(TURNS))
    pool = median(seconds(*swept, nine, names, two) for _ in range(TURNS))
    job = (long - short) / 8
    return {"command_s": short - job, "job_s": job, "pool_s": max(0.0, pool - short - 4 * job)}


def dqn_replay(folder: Path) -> Units:
    """One checkpoint alone, and beside another one; then pieces joined, one and several."""
    units: Units = {}
    for game in GAMES:
        bucket = folder / game
        size = checkpoints(bucket, played(game), FRAMES, JOINED)
        words = (*INGEST, f"source.root={bucket}", "dataset=dqn-replay-v1")
        alone, found = [], []
        for number in range(TURNS):
            piece = (*words, "stage.ingest.shards=0", f"paths.root={folder / f'{game}-{number}'}")
            alone.append(seconds(*piece))
            found.append(seconds(*piece))
        start = median(found)
        spent = median(alone) - start
        units |= {f"ingest_{game}_s": spent / FRAMES * MILLION, f"packed_{game}_bytes": size / FRAMES}
        if game == "busy":
            units["crowded"] = (_beside_another(folder, words) - start) / spent
            units |= _joined(folder, words, start)
        place = folder / f"{game}-stored"
        seconds(*words, *FIRST, f"paths.root={place}")
        units[f"stored_{game}_bytes"] = _bytes(place) / FRAMES
    return units


def _beside_another(folder: Path, words: tuple[str, ...]) -> float:
    """Seconds of a piece while the same is made in another place."""
    times = []
    for number in range(TURNS):
        pair = [(*words, "stage.ingest.shards=0", f"paths.root={folder / f'{each}-{number}'}") for each in "ab"]
        times.append(max(beside(*pair)))
    return median(times)


def _joined(folder: Path, words: tuple[str, ...], start: float) -> Units:
    """What joining costs by itself, and with each million frames: from one piece and from JOINED of them."""
    times: dict[int, list[float]] = {1: [], JOINED: []}
    for number in range(TURNS - 1):
        for pieces, found in times.items():
            all_of_them = (*words, *(FIRST if pieces == 1 else ()), f"paths.root={folder / f'join-{pieces}-{number}'}")
            seconds(*all_of_them, f"stage.ingest.shards=0-{pieces - 1}")
            found.append(seconds(*all_of_them))
    one, several = (median(found) - start for found in times.values())
    piece = (several - one) / (JOINED - 1)
    return {"join_start_s": max(0.0, one - piece), "join_s": piece / FRAMES * MILLION}


def jat(folder: Path) -> Units:
    """A task of vectors and one of screens."""
    rows = {"vector": 1000, "screen": 30}
    sizes = {
        "vector": jat_vectors(folder, rows["vector"]),
        "screen": jat_screens(folder, rows["screen"], played("busy")),
    }
    steps = {"vector": rows["vector"] * 100, "screen": rows["screen"] * 32}
    task = {"vector": ("domain=metaworld", "task=assembly"), "screen": ("domain=atari", f"task={TASK}")}
    units: Units = {}
    for kind, count in steps.items():
        words = (*JAT, *task[kind], f"source.path={folder}", "dataset=jat-v1")
        times = []
        for number in range(TURNS):
            place = f"paths.root={folder / f'{kind}-{number}'}"
            times.append(seconds(*words, place) - seconds(*words, place))
        units |= {f"jat_{kind}_s": median(times) / count, f"jat_{kind}_bytes": sizes[kind] / count}
    return units | {"stored_vector_bytes": _bytes(folder / "vector-0") / steps["vector"]}


def embedding(folder: Path) -> Units:
    """The network of REGENT alone, and beside another process that does the same."""
    alone = network_pace()
    code = [sys.executable, "-c", "from benchmarks.scaling.units import network_pace; print(network_pace(24))"]
    both = [subprocess.Popen(code, cwd=PROJECT, env=environment(), stdout=subprocess.PIPE) for _ in range(2)]
    paces = [float(each.communicate()[0].split()[-1]) for each in both]
    return {"embed_s": alone, "crowded_network": sum(paces) / 2 / alone}


def network_pace(turns: int = TURNS) -> float:
    """Seconds for a stack of screens, with random weights, in batches of the width that the stage takes on a CPU."""
    import torch

    from pipeline.embedding.engine import Engine
    from pipeline.embedding.networks import RegentResNet18
    from pipeline.embedding.settings import Embedding

    settings = Embedding(
        name="resnet18", network=RegentResNet18(), features=512, weights="random", picture=REGENT, seed=0, width=None,
        frames=4, layout="vertical", padding="first", batch=512, dtype="float32", device="cpu", compile=False,
    )  # fmt: skip
    torch.set_num_threads(1)
    engine = Engine(settings, (4, 84, 84))
    inputs = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 4, 84, 84), dtype=np.uint8))
    return median(_timed(lambda: engine.start(inputs)()) for _ in range(turns)) / len(inputs)


def search(folder: Path) -> Units:
    """Exact search in pools of two sizes: what a query costs by itself, and what with each state of the pool.

    The 512 numbers are independent, so no vector comes twice; those of games do, and are searched once.
    """
    from pipeline.search.index import ExactIndex

    units: Units = {}
    for width, vectors in ((39, observations()), (512, noise(44_096))):
        queries, cost = vectors[-4096:], {}
        for pool in (4000, 40_000):
            index = ExactIndex(vectors[:pool], threads=1)
            index.search(queries[:64], 100)
            cost[pool] = median(_timed(partial(index.search, queries, 100)) for _ in range(TURNS))
        pair = (cost[40_000] - cost[4000]) / 36_000 / len(queries)
        units[f"pair_{width}_s"] = pair
        units[f"query_{width}_s"] = max(0.0, cost[4000] / len(queries) - 4000 * pair)
    return units


def rest_of_the_chain(folder: Path) -> Units:
    """Distances, bins and parquet, as their manifests say; rows as those of Meta-World (39) and of Atari (512)."""
    units: Units = {}
    for width, row, vectors in ((39, 256, observations()[:50_000]), (512, 32, noise(20_000))):
        root = folder / str(width)
        vector_dataset(root, vectors, "scripted-v1")
        raw = _bytes(root)
        words = ("stage=regent", "domain=metaworld", "task=assembly", f"domain.regent.row_width={row}")
        seconds(*words, f"paths.root={root}")
        manifests = [json.loads(path.read_text()) for path in root.glob("artifacts/*/*/*/*/manifest.json")]
        spent = sum(each["seconds"] for each in manifests if each["kind"] in ("distances", "bins", "parquet"))
        units[f"rest_{width}_s"] = spent / len(vectors)
        units[f"made_{width}_bytes"] = (_bytes(root) - raw) / len(vectors)
    return units


def exports(folder: Path) -> Units:
    """LRAM's HDF5 files, of vectors and of screens."""
    from benchmarks.formats import SETS, Form, Made, export, outgoing, stored

    units: Units = {}
    with one_core():
        for kind, (label, made) in zip(("vector", "screen"), SETS.items(), strict=True):
            artifact = stored(Made(label, made), folder / kind)
            form = Form(("format=hdf5",)).built()
            places = [folder / f"{kind}-{number}" for number in range(TURNS)]
            times = [_timed(partial(export, form, artifact, place)) for place in places]
            units[f"export_{kind}_s"] = median(times) / outgoing(artifact).dataset.states
    return units


@contextmanager
def one_core() -> Iterator[None]:
    """What is called in this process keeps to one core."""
    before = os.environ.get(CORES)
    os.environ[CORES] = "1"
    try:
        yield
    finally:
        os.environ.pop(CORES) if before is None else os.environ.update({CORES: before})


def _timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_below(folder / "artifacts"))
