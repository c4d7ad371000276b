"""What `benchmarks.gpu` does, part by part: rows, vectors, then speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_absent import MissingPackage, missing
from benchmarks.gpu_frames import mapped_frames, stored_frames
from benchmarks.gpu_network import PlainNetwork
from benchmarks.gpu_page import Bench, Line, Part, lines_of
from benchmarks.gpu_sets import NastySet, nasty_sets, plain_rows
from pipeline.embedding.engine import Engine
from pipeline.embedding.flow import embedded
from pipeline.embedding.preprocessing import Picture, prepare
from pipeline.embedding.settings import DTYPES, Embedding
from pipeline.search import device as device_search
from pipeline.search import index
from pipeline.search.device import GROUP
from pipeline.search.index import ExactIndex
from pipeline.search.precision import full_precision, tensor_cores

SEARCH_SECONDS = {512: 0.5, 39: 0.1}
"""Aims for 100,000 queries and keys, k = 100, on an H100, by dimensions."""

IMAGES = 20_000
"""Aim for ResNet-18, inputs a second, on an H100."""

WAITING = 0.05
"""Aim for the share of a training step that waits."""

NEEDED = ("blake3", "google_crc32c", "llvmlite", "numba", "tensorstore")
"""Packages without which no dataset can be written or read."""

BOUNDS = {"bfloat16": 5e-2, "float16": 1e-2, "float32": 1e-4}
"""The largest distance of a vector from the processor's in float32, as a share of its length."""

SHAPE = (4, 84, 84)

Rows = Any
Searching = Callable[[NastySet], Rows]


def rows_on(device: str, **tiles: int) -> Searching:
    """The search of a set on a device of ExactIndex, however small it is, perhaps in other tiles than usual."""

    def search(each: NastySet) -> Rows:
        with _constants(index, DEVICE_WORK=0), _constants(device_search, **tiles):
            return ExactIndex(each.keys, each.metric, device=device).search(each.queries, each.k, each.excluded).rows

    return search


def wrong_rows(size: float, **searches: Searching) -> Iterator[tuple[str, str, str]]:
    """For each nasty set and search, by their names: what is wrong with the rows, or nothing."""
    for each in nasty_sets(size):
        right = each.answer()
        for name, search in searches.items():
            try:
                queries = np.flatnonzero((right != search(each)).any(axis=1))
                wrong = f"{len(queries)} queries, the first is {queries[0]}" if len(queries) else ""
            except Exception as error:  # whatever it is, the other sets go on
                wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            yield each.name, name, wrong


def search_rows(bench: Bench) -> Iterator[Line]:
    """Rows of twenty nasty searches. They must be those of plain float64."""
    small = rows_on(bench.searching, KEY_TILE=32 * GROUP, QUERY_TILE=50, RANK_TILE=120)
    found = list(wrong_rows(bench.sizes.sets, usual=rows_on(bench.searching), small=small))
    for name, tiles, wrong in found:
        if wrong:
            yield Line(f"rows: {name}, {tiles} tiles", "wrong", note=wrong, wrong=True)
    for name in ("usual", "small"):
        right = [not wrong for _, tiles, wrong in found if tiles == name]
        yield Line(f"rows of nasty searches, {name} tiles", f"{sum(right)} of {len(right)} right", f"{len(right)}")


def vectors_right(bench: Bench) -> Iterator[Line]:
    """Vectors of pictures. They must be near the processor's, and the same bits whatever is beside them."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (bench.sizes.examples, *SHAPE), np.uint8)
    right = _vectors(Engine(settings(bench, "float32", "cpu", False), SHAPE), pictures)
    for embedding in _embeddings(bench):
        name = f"vectors of {len(pictures)} pictures, {embedding.dtype}, {embedding.engine}, against the processor's"
        yield from lines_of(name, _compared(name, embedding, pictures, right))


def _compared(name: str, embedding: Embedding, pictures: Any, right: Any) -> Iterator[Line]:
    engine, bound = Engine(embedding, SHAPE), BOUNDS[embedding.dtype]
    found, again = _vectors(engine, pictures), _vectors(engine, pictures[::-1].copy())[::-1]
    off = float((np.linalg.norm(found - right, axis=1) / np.linalg.norm(right, axis=1)).max())
    same = np.array_equal(found, again)
    note = " ".join([*([] if same else ["other bits in another place of the batch"]), *engine.notes])
    yield Line(name, f"{off:.1e} off", f"{bound:.0e}", note=note, wrong=not (off <= bound and same))


def search_speed(bench: Bench) -> Iterator[Line]:
    """Search of noise in noise. Keys and queries come from numpy and rows go back to it; nothing is excluded."""
    n = bench.sizes.vectors
    for d in bench.sizes.dimensions:
        work = f"search, {n:,} x {n:,} x {d}, k={bench.sizes.k}"
        yield from lines_of(work, _searched(bench, work, d))


def _searched(bench: Bench, work: str, d: int) -> Iterator[Line]:
    keys, queries = _noise(bench, d)
    k = bench.sizes.k
    with _constants(index, DEVICE_WORK=0):
        first, _ = _timed(_search, bench, keys, queries)
        tried = [_timed(_search, bench, keys, queries) for _ in range(bench.sizes.repeats)]
        whole, (made, rows) = min(tried, key=lambda each: each[0])
        again = min(_timed(made.search, queries, k)[0] for _ in tried)
    aim = SEARCH_SECONDS.get(d) if bench.sizes.vectors == 100_000 else None
    yield Line(
        f"{work}, keys sent and prepared too", f"{whole:.3f} s", f"{aim} s" if aim else "",
        whole / aim if aim else None, f"the first one {first:.2f} s; {_peak()}",
    )  # fmt: skip
    yield Line(f"{work}, keys there", f"{again:.3f} s")
    some = np.arange(0, len(queries), len(queries) // 5)
    right = np.array_equal(rows[some], plain_rows(keys, queries[some], k))
    yield Line(f"{work}, rows of {len(some)} queries", "right" if right else "wrong", wrong=not right)
    yield from _products_alone(bench, keys, queries, work)


def search_kernels(bench: Bench) -> Iterator[Line]:
    """Where a search spends its time. The kernels that take longest."""
    from torch.profiler import ProfilerActivity, profile

    gpu = bench.device == "cuda"
    for d in bench.sizes.dimensions:
        keys, queries = _noise(bench, d)
        with _constants(index, DEVICE_WORK=0):
            made, _ = _search(bench, keys, queries)
            with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as seen:
                made.search(queries, bench.sizes.k)
        taken = {each.key: (_microseconds(each, gpu), each.count) for each in seen.key_averages()}
        for name, (microseconds, count) in sorted(taken.items(), key=lambda item: -item[1][0])[: 10 if gpu else 2]:
            work = f"kernels, {d} dimensions: {name[:90].replace('|', '/')}"
            yield Line(work, f"{microseconds / 1e3:.1f} ms", note=f"{count} x")


def embedding_speed(bench: Bench) -> Iterator[Line]:
    """ResNet-18 from stored frames. Read, hashed, stacked, sent, prepared, through the network, and back."""
    absent = missing(NEEDED)
    inputs, where = (
        (mapped_frames(bench.folder, bench.sizes.frames), "a memory map of frames")
        if absent
        else (stored_frames(bench.folder, bench.sizes.frames), "a dataset in storage bin")
    )
    for embedding in _embeddings(bench):
        work = f"ResNet-18, {embedding.dtype}, {embedding.engine}, end to end from {where}"
        yield from lines_of(work, _embedded(bench, work, embedding, inputs))


def _embedded(bench: Bench, work: str, embedding: Embedding, inputs: Any) -> Iterator[Line]:
    made, engine = _timed(Engine, embedding, inputs.shape)
    taken = min(_timed(_embed, engine, inputs, embedding)[0] for _ in range(bench.sizes.repeats))
    rate, alone = bench.sizes.frames / taken, _network_alone(bench, engine, embedding)
    aimed = embedding.dtype != "float32"
    yield Line(
        work, f"{rate:,.0f}/s", f"{IMAGES:,}/s" if aimed else "", IMAGES / rate if aimed else None,
        f"the network alone {alone:,.0f}/s; made in {made:.0f} s; {_peak()}",
    )  # fmt: skip


def loader_waiting(bench: Bench) -> Iterator[Line]:
    """Share of a training step that waits for the loader. Random windows of 32 frames, batches of 128."""
    if absent := missing(NEEDED):
        raise MissingPackage(f"the packages {', '.join(absent)}")
    from benchmarks.gpu_frames import NAME, ROOT
    from pipeline.views.bench.training import Trainer
    from pipeline.views.loader import Loader
    from pipeline.views.windows import Windows

    stored_frames(bench.folder, bench.sizes.frames)
    toy = bench.device == "cpu"
    for workers in (0,) if toy else (1, 4):
        view = Windows(
            str(bench.folder / ROOT), NAME, storage="bin", length=4 if toy else 32, fields=("observation", "action")
        )
        with closing(Loader(view, 8 if toy else 128, workers, pin_memory=True)) as loader:
            batches = _endless(loader)
            trainer = Trainer(next(batches))
            share = float(np.median([trainer.waiting(batches, bench.sizes.seconds, workers) for _ in range(3)]))
            step = trainer.seconds(next(batches))
        yield Line(
            f"waiting for the loader, {workers} worker processes, pinned", f"{share:.1%} of a step", f"{WAITING:.0%}",
            share / WAITING, f"a step alone {1000 * step:.1f} ms",
        )  # fmt: skip


PARTS: tuple[tuple[Part, int], ...] = (
    (search_rows, 45),
    (vectors_right, 100),
    (search_speed, 90),
    (embedding_speed, 140),
    (loader_waiting, 45),
    (search_kernels, 30),
)
"""Each with the seconds that it may need."""


def settings(bench: Bench, dtype: str, device: str, compiled: Any) -> Embedding:
    """REGENT's network with random weights."""
    side = bench.sizes.side
    picture = Picture([side, side], None, "bilinear", False, False, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return Embedding(
        name="resnet18", network=PlainNetwork(), features=512, weights="random", picture=picture, seed=0, width=None,
        frames=4, layout="vertical", padding="first", batch=512, dtype=dtype, device=device, compile=compiled,
    )  # fmt: skip


def _embeddings(bench: Bench) -> Iterator[Embedding]:
    """Each type, eager and, where a compiler is, compiled."""
    for dtype in (each for each in BOUNDS if each in DTYPES):
        yield settings(bench, dtype, bench.device, False)
        compiled = settings(bench, dtype, bench.device, "auto")
        if bench.device == "cuda" and compiled.engine == "compiled":
            yield compiled


@contextmanager
def _constants(module: ModuleType, **values: int) -> Iterator[None]:
    """Some constants of a module as they are wanted here."""
    before = {name: getattr(module, name) for name in values}
    vars(module).update(values)
    try:
        yield
    finally:
        vars(module).update(before)


def _noise(bench: Bench, d: int) -> tuple[Any, Any]:
    """Keys and queries."""
    rng = np.random.default_rng(d)
    shape = (bench.sizes.vectors, d)
    return rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)


def _search(bench: Bench, keys: Any, queries: Any) -> tuple[ExactIndex, Rows]:
    made = ExactIndex(keys, device=bench.searching)
    return made, made.search(queries, bench.sizes.k).rows


def _products_alone(bench: Bench, keys: Any, queries: Any, work: str) -> Iterator[Line]:
    """What a matrix product of the same vectors takes, in tiles, nothing selected."""
    device = torch.device(bench.device)
    left, right = (torch.from_numpy(each).to(device) for each in (queries, keys))
    scores = torch.empty((2048, len(keys)), device=device)

    def multiply() -> None:
        for start in range(0, len(left), len(scores)):
            part = left[start : start + len(scores)]
            torch.mm(part, right.T, out=scores[: len(part)])
        _wait(bench)

    with full_precision():
        _timed(multiply)
        yield Line(f"{work}: the product alone, float32", f"{_timed(multiply)[0]:.3f} s")
        with tensor_cores(device):
            _timed(multiply)
            yield Line(f"{work}: the product alone, TF32", f"{_timed(multiply)[0]:.3f} s")


def _vectors(engine: Engine, pictures: Any) -> Any:
    return engine.start(torch.from_numpy(pictures))().copy()


def _embed(engine: Engine, inputs: Any, embedding: Embedding) -> None:
    for _ in embedded(engine, inputs, 0, inputs.states, embedding.batch):
        pass


def _network_alone(bench: Bench, engine: Engine, embedding: Embedding) -> float:
    """Inputs a second through the network, of a batch that is on the device and prepared."""
    width = 128 if bench.device == "cuda" else 16
    frames = torch.zeros((width, 4, 84, 84), dtype=torch.uint8, device=bench.device)
    batches = 1 + bench.sizes.frames // (4 * width)
    with engine.exact():
        pictures = prepare(frames, embedding.layout, embedding.prepared()).to(getattr(torch, embedding.dtype))
        pictures = pictures.contiguous(memory_format=torch.channels_last)

        def go() -> None:
            for _ in range(batches):
                engine.network(pictures)
            _wait(bench)

        _timed(go)
        return batches * width / _timed(go)[0]


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Its seconds, and what it gives."""
    start = time.perf_counter()
    found = work(*arguments)
    return time.perf_counter() - start, found


def _wait(bench: Bench) -> None:
    if bench.device == "cuda":
        torch.cuda.synchronize()


def _peak() -> str:
    if not torch.cuda.is_available():
        return "no GPU"
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return f"{peak:.1f} GiB at most"


def _microseconds(event: Any, gpu: bool) -> float:
    """Of the kernel itself; torch has changed the name."""
    names = ("self_device_time_total", "self_cuda_time_total") if gpu else ("self_cpu_time_total",)
    return next((float(getattr(event, name)) for name in names if hasattr(event, name)), 0.0)
