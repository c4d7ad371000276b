"""Embeddings of a collected Atari dataset against the network alone on a batch that is in memory already.

Ours is what the stage does with a loaded network: reading and unpacking the dataset, hashing, stacking, preparing
pictures, the network, writing and checksums. The limit is the same network, compiled where a compiler is, on one batch
of prepared pictures, once for every different input. The peer is the usual loop: eager, a batch after the other, no
input recognised. Loading and compiling are outside of all of them. In a second dataset every episode comes twice.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

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
from pipeline.embedding.settings import WIDTHS, Embedding
from pipeline.embedding.spill import Spill
from pipeline.embedding.states import StateInputs
from pipeline.embedding.weights import load
from pipeline.envs.atari.environment import Atari
from pipeline.policies.random import Random
from stages import collect

GAME, EPISODES = "pong", 4
REGENT = Picture([224, 224], None, "bilinear", False, False, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def settings(dtype: str, device: str) -> Embedding:
    """REGENT's network with random weights."""
    return Embedding(
        name="resnet18", network=RegentResNet18(), features=512, weights="random", picture=REGENT, seed=0, width=None,
        frames=4, layout="vertical", padding="first", batch=512, dtype=dtype, device=device, compile="auto",
    )  # fmt: skip


def collected(workspace: Workspace, states: int) -> Artifact:
    """Episodes of Pong with uniform actions."""
    domain = Domain("atari", 27_000, EPISODES, Atari, [GAME], Regent(32, 5, 100, 100_000))
    return collect.run(
        domain=domain, task=GAME, policy=Random, randomness=0.0, outputs=False, workspace=workspace,
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


def different(dataset: Artifact, embedding: Embedding) -> int:
    """How many inputs the network must see."""
    reader = EpisodeDataset.of(dataset)
    inputs = StateInputs(reader, embedding.frames, embedding.padding, "atari/pong")
    return len(set(inputs.read(0, reader.states).keys))


def measure(states: int = 160, dtype: str = "float32", device: str = "cpu", repeats: int = 2) -> list[Row]:
    """A row for a dataset of `states` states, and one in which they come twice."""
    rows, embedding = [], settings(dtype, device)
    engine = Engine(embedding, (4, 84, 84))
    eager = load(embedding.network, "random", 0).eval().to(device, getattr(torch, dtype))
    with tempfile.TemporaryDirectory() as root:
        workspace = Workspace(str(Path(root)))
        once = collected(workspace, states)
        for name, dataset in (("", once), (", all of them twice", doubled(workspace, once))):
            count, total = different(dataset, embedding), EpisodeDataset.of(dataset).states
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=160)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print_table(measure(options.states, options.dtype, options.device, options.repeats))


if __name__ == "__main__":
    main()
