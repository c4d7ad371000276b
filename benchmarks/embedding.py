"""Embeddings of a collected Atari dataset against the network alone on a batch that is in memory already.

Ours is what the stage does with a loaded network: reading and unpacking the dataset, hashing, stacking, preparing
pictures, the network, writing and checksums. The limit is the same network, compiled where a compiler is, on one batch
of prepared pictures, once for every different input. The peer is the usual loop: eager, a batch after the other, no
input recognised. Loading and compiling are outside of all of them. In a second dataset every episode comes twice.

Then other dtypes and OpenVINO against torch's float32, on the different inputs of that dataset, with the share of each
input's ten nearest neighbours that stay its ten nearest. `--neighbours` tells that alone, for more inputs of two games.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float, Float32

from benchmarks.measure import Row, best_of, print_table
from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import Noticed, grow
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.domain import Domain, Regent
from pipeline.embedding.build import append_vectors
from pipeline.embedding.engine import Engine
from pipeline.embedding.networks import RegentResNet18
from pipeline.embedding.preprocessing import Picture, prepare
from pipeline.embedding.settings import DTYPES, WIDTHS, Embedding
from pipeline.embedding.spill import Spill
from pipeline.embedding.states import StateInputs
from pipeline.embedding.weights import load
from pipeline.envs.atari.environment import Atari
from pipeline.policies.random import Random
from stages import collect

GAME, EPISODES = "pong", 4
NEAREST = 10
WAYS = (("bfloat16", "auto", 0.4), ("float32", "openvino", 1.0), ("bfloat16", "openvino", None))
"""dtype, `embedding.compile` and the wanted share of the time of torch's float32."""
REGENT = Picture([224, 224], None, "bilinear", False, False, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def settings(dtype: str, device: str) -> Embedding:
    """REGENT's network with random weights."""
    return Embedding(
        name="resnet18", network=RegentResNet18(), features=512, weights="random", picture=REGENT, seed=0, width=None,
        frames=4, layout="vertical", padding="first", batch=512, dtype=dtype, device=device, compile="auto",
    )  # fmt: skip


def collected(workspace: Workspace, states: int, game: str = GAME) -> Artifact:
    """Episodes of a game with uniform actions."""
    domain = Domain("atari", 27_000, EPISODES, Atari, [game], Regent(32, 5, 100, 100_000))
    return collect.run(
        domain=domain, task=game, policy=Random, randomness=0.0, outputs=False, workspace=workspace,
        dataset="random-v1", episodes=EPISODES, states=None, frames=states, render=False, seed=0, workers=1,
        force=False,
    )  # fmt: skip


def doubled(workspace: Workspace, once: Artifact) -> Artifact:
    """The same episodes, and then all of them again."""
    episodes = list(EpisodeDataset.of(once))

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        while writer.count < 2 * len(episodes):
            writer.append(episodes[writer.count % len(episodes)])
        return Noticed()

    spec = Spec("atari", GAME, "episodes", 1, {}, name="doubled-v1")
    return grow(workspace, spec, Amount(2 * len(episodes), None), fill)


def ours(engine: Engine, embedding: Embedding, dataset: Artifact) -> None:
    """Every state of the dataset into an artifact of a fresh workspace."""
    reader = EpisodeDataset.of(dataset)
    inputs = StateInputs(reader, embedding.frames, embedding.padding, "atari/pong")

    def make(draft: Draft) -> None:
        writer = draft.array("embeddings", (reader.states, embedding.dimensions), np.float32, "")
        append_vectors(engine, inputs, embedding, writer, Spill(draft.path / "spill"), lambda _: None)

    with tempfile.TemporaryDirectory() as root:
        Workspace(root).build(Spec("atari", GAME, "embeddings", 1, {}), make)


def usual(embedding: Embedding, module: torch.nn.Module, dataset: Artifact) -> None:
    """Eager, one batch after the other, every state."""
    reader, width = EpisodeDataset.of(dataset), WIDTHS[embedding.device_class]
    inputs = StateInputs(reader, embedding.frames, embedding.padding, "atari/pong")
    found = []
    with torch.inference_mode():
        for start in range(0, reader.states, width):
            read = inputs.read(start, min(start + width, reader.states))
            batch = torch.empty((len(read.keys), *inputs.shape), dtype=torch.uint8)
            read.take(np.arange(len(read.keys)), batch.numpy())
            pictures = prepare(batch.to(embedding.device), embedding.layout, embedding.prepared())
            found.append(module(pictures.to(getattr(torch, embedding.dtype))).float().cpu())


def alone(engine: Engine, embedding: Embedding, count: int) -> None:
    """The network on one resident batch of prepared pictures, until as many inputs are through."""
    width = WIDTHS[embedding.device_class]
    pictures = torch.zeros((width, 3, 224, 224), dtype=getattr(torch, embedding.dtype), device=embedding.device)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    with engine.exact():
        for _ in range(-(-count // width)):
            found = engine.network(pictures)
        found.float().cpu()


def different(dataset: Artifact, embedding: Embedding) -> torch.Tensor:
    """The inputs that the network must see, uint8 (n, 4, 84, 84): each once, in the order of their first states."""
    reader = EpisodeDataset.of(dataset)
    inputs = StateInputs(reader, embedding.frames, embedding.padding, "atari")
    read = inputs.read(0, reader.states)
    first = {key: place for place, key in reversed(list(enumerate(read.keys)))}
    places = np.sort(np.fromiter(first.values(), np.int64))
    found = torch.empty((len(places), *inputs.shape), dtype=torch.uint8)
    read.take(places, found.numpy())
    return found


def kept_neighbours(wanted: Float[np.ndarray, "n d"], found: Float[np.ndarray, "n d"], nearest: int = NEAREST) -> float:
    """The share of each vector's `nearest` nearest others (L2) in `wanted` that are among its nearest in `found`."""
    sets = [[set(row) for row in _neighbours(each.astype(np.float64), nearest)] for each in (wanted, found)]
    return float(np.mean([len(a & b) / nearest for a, b in zip(*sets, strict=True)]))


def _neighbours(vectors: Float[np.ndarray, "n d"], nearest: int) -> list[list[int]]:
    squares = (vectors**2).sum(1)
    distances = squares[:, None] + squares - 2 * vectors @ vectors.T
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, 1, kind="stable")[:, :nearest].tolist()


def stage_rows(once: Artifact, states: int, embedding: Embedding, repeats: int, workspace: Workspace) -> list[Row]:
    """A row for a dataset of about `states` states, and one in which they come twice."""
    rows, engine = [], Engine(embedding, (4, 84, 84))
    dtype, device = embedding.dtype, embedding.device
    eager = load(embedding.network, "random", 0).eval().to(device, getattr(torch, dtype))
    for name, dataset in (("", once), (", all of them twice", doubled(workspace, once))):
        count, total = len(different(dataset, embedding)), EpisodeDataset.of(dataset).states
        best = best_of(
            repeats,
            ours=partial(ours, engine, embedding, dataset),
            usual=partial(usual, embedding, eager, dataset),
            alone=partial(alone, engine, embedding, count),
        )
        pace = f"{total / best['ours']:.0f} states/s; {best['alone'] / best['ours']:.0%} of the network's own pace"
        rows.append(
            Row(
                f"embed {states} states{name}, ResNet-18, {dtype}, {device}, {embedding.engine}",
                best["ours"],
                peer="eager loop over every state",
                peer_s=best["usual"],
                limit=f"{embedding.engine} network alone, {count} inputs",
                limit_s=best["alone"],
                note=pace,
            )
        )
    return rows


def way_rows(inputs: torch.Tensor, base: Embedding, repeats: int, quick: bool) -> list[Row]:
    """Other ways through the network against `base`, on the same inputs in turns. quick: those with a goal."""
    asked = [way for way in WAYS if not quick or way[2] is not None]
    ways = [(replace(base, dtype=d, compile=base.compile if c == "auto" else c), goal) for d, c, goal in asked]
    ways = [way for way in ways if way[0].engine != "openvino" or find_spec("openvino")]
    vectors: dict[str, Float32[np.ndarray, "n d"]] = {}

    def run(name: str, engine: Engine) -> Callable[[], None]:
        def once() -> None:
            vectors[name] = engine.start(inputs)()

        return once

    embeddings = {f"{each.dtype}, {each.engine}": each for each in (base, *(way for way, _ in ways))}
    best = best_of(repeats, **{name: run(name, Engine(each, (4, 84, 84))) for name, each in embeddings.items()})
    first = f"{base.dtype}, {base.engine}"
    rows = []
    for way, goal in ways:
        name = f"{way.dtype}, {way.engine}"
        kept = kept_neighbours(vectors[first], vectors[name])
        rows.append(
            Row(
                f"ResNet-18, {name}, instead of {first}, cpu",
                best[name],
                peer=f"{first}: {len(inputs)} inputs",
                peer_s=best[first],
                note=f"{len(inputs) / best[name]:.0f} inputs/s; {kept:.1%} of the {NEAREST} nearest neighbours stay",
                peer_goal=goal,
            )
        )
    return rows


def measure(
    states: int = 160, dtype: str = "float32", device: str = "cpu", repeats: int = 2, quick: bool = False
) -> list[Row]:
    """Rows of the stage, and of other ways to compute (on a CPU in float32, which they are compared with).

    Quick ones are the latter, eager: compiling takes 15 s each.
    """
    embedding = settings(dtype, device)
    if quick:
        states, embedding = 48, replace(embedding, compile=False)
    with tempfile.TemporaryDirectory() as root:
        workspace = Workspace(root)
        once = collected(workspace, states)
        rows = [] if quick else stage_rows(once, states, embedding, repeats, workspace)
        if (dtype, device) == ("float32", "cpu"):
            rows += way_rows(different(once, embedding), embedding, repeats, quick)
        return rows


def neighbours(states: int) -> None:
    """Prints the share of nearest neighbours that stay, in every dtype, for two games."""
    for game in (GAME, "spaceinvaders"):
        embedding = replace(settings("float32", "cpu"), compile=False)
        with tempfile.TemporaryDirectory() as root:
            inputs = different(collected(Workspace(root), states, game), embedding)
        ways = {f"{dtype}, eager": replace(embedding, dtype=dtype) for dtype in DTYPES}
        if find_spec("openvino"):
            ways["float32, openvino"] = replace(embedding, compile="openvino")
        vectors = {name: Engine(way, (4, 84, 84)).start(inputs)() for name, way in ways.items()}
        for name, found in vectors.items():
            shares = [f"{kept_neighbours(vectors['float32, eager'], found, k):.3f} of {k}" for k in (1, 10, 100)]
            print(f"{game}, {len(inputs)} inputs, {name}: {', '.join(shares)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=160)
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--neighbours", action="store_true", help="the share that stays in other dtypes, no times")
    options = parser.parse_args()
    if options.neighbours:
        neighbours(options.states)
    else:
        print_table(measure(options.states, options.dtype, options.device, options.repeats, options.quick))


if __name__ == "__main__":
    main()
