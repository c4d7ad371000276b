"""REGENT's training items: a query with its 19 nearest demonstration states, read from the bins.

What an item holds is what regent-research/regent feeds its model (`scripts_regent/new_dataset.py`; arXiv:2412.04759).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pipeline.artifacts.artifact import MANIFEST, Artifact, Manifest
from pipeline.domains.atari import minimal_actions
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.machine.files import read_json
from pipeline.regent.bins import SHAPES, STATISTICS, read_lookup
from pipeline.regent.context import CONTEXT
from pipeline.storage.contract import blocks
from pipeline.views.collate import tensors
from pipeline.views.order import Order
from pipeline.views.view import Samples, View

LAMBDA = 10.0
"""How fast the weight of the retrieved action falls with the distance: exp(-10 d)."""

ACTIONS = 18
"""Logits of every task with discrete actions: as many as Atari has."""

EVALUATION = 2_000
"""Last items of a seen task that are kept for evaluation."""

BATCH = 256
"""Both ends of the training part are multiples of it."""

EXP, LOGITS, REPEATED = "exp_lamda_distances", "discrete_RandP_action_logits", "continuous_RandP_actions"
"""Names as upstream writes them."""

INTEGERS = ("discrete_observations", "discrete_actions", "indices")


class Contexts(View):
    """One item per query state, of 20 rows each: the first 19 retrieved states, nearest first, then the query.

    * `continuous_observations` (20, d) float32, of pictures their embeddings; or `discrete_observations` (20, d) int32
    * `continuous_actions` (20, a) float32 or `discrete_actions` (20,) int64, of Atari among all 18
    * `rewards` (20,) float32, received before acting, as in JAT
    * `exp_lamda_distances` (20, 1) float32: exp(-10 d), d the distance to the first retrieved state over p95
    * `continuous_RandP_actions` (20, a): the first retrieved state's action, repeated; or
      `discrete_RandP_action_logits` (20, 18): with d cut to [0, 1], (1 + 17 (1 - d)) / 18 there, d / 18 elsewhere
    * `attention_mask` (20,) int64 and `loss_weight` (20,) float32, all ones

    Items are tensors, unlike those of other views, or arrays with `numpy=True`, which loads no torch; `gather` gives
    arrays in any case. Files are memory-mapped, so the workers of a `DataLoader` may have it.

    Args:
        folder: with `*.bin`, `shapes.json` and the lookup: a folder inside our bins artifact, or one of upstream's.
        actions: the action among 18 that each local action stands for; None leaves actions as they are.
        numpy: give arrays instead of tensors.
        seed: decides the order; None gives the items in that of the bins.
        rank, world_size: of a distributed training; see `pipeline.views.order.Order`.

    Raises DamagedArtifact or InvalidInput where files are missing or do not fit together.
    """

    def __init__(
        self,
        folder: str | Path,
        actions: Sequence[int] | None = None,
        *,
        numpy: bool = False,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._folder, self._digest, self._numpy = Path(folder), "", numpy
        if (self._folder.parent / MANIFEST).is_file():  # our own bins, not upstream's
            bins = Artifact(self._folder.parent, Manifest.read(self._folder.parent))
            bins.require_whole()
            self._digest = bins.manifest.digest
        self._shapes = _shapes(self._folder)
        if missing := {"indices", "distances", "rewards"} - set(self._shapes):
            raise InvalidInput(
                f"{self._folder} has no {', '.join(sorted(missing))}.bin: contexts need the bins of a task that is "
                "trained on. A held-out task as REGENT publishes it has distances alone."
            )
        self._observations = self._one("embeddings_", "continuous_observations", "discrete_observations")
        self._acted = self._one("continuous_actions", "discrete_actions")
        self._actions = None if actions is None else np.asarray(actions, np.int64)
        self._open: dict[str, np.memmap] = {}
        self.order = Order(np.array([self._shapes["indices"][0]]), seed, rank, world_size)

    @staticmethod
    def of(bins: Artifact, **settings: Any) -> Contexts:
        """The contexts of a bins artifact; the settings are those of the class. Atari's actions become those among 18.

        JAT's, and those of bins whose maker is not known, are taken to be the game's own. Raises InvalidInput for an
        artifact of another kind.
        """
        if not isinstance(bins, Artifact):
            raise InvalidInput(f"Contexts are read from bins, such as workspace.find('bins', ...); {bins} is none.")
        if bins.manifest.kind != "bins":
            raise InvalidInput(f"Contexts are read from bins; {bins.path} is of the kind {bins.manifest.kind}.")
        parameters = bins.manifest.parameters
        folder = bins.path / f"{bins.domain}-{bins.task}{parameters['suffix']}"
        own = minimal_actions(bins.task) if bins.domain == "atari" else None
        return Contexts(folder, parameters.get("actions", own), **settings)

    def __repr__(self) -> str:
        return f"Contexts({self._folder}: {len(self):,} items of {self._observations} and {self._acted})"

    def batch(self, numbers: Int64[np.ndarray, " n"]) -> dict[str, Any]:
        """The items of (n,) numbers, which count on through the epochs, with an axis in front: (n, 20, ...)."""
        arrays = super().batch(numbers)
        return arrays if self._numpy else tensors(arrays)

    def identity(self) -> dict[str, Any]:
        actions = None if self._actions is None else self._actions.tolist()
        shapes = {name: list(shape) for name, shape in sorted(self._shapes.items())}
        return {
            "view": "Contexts", "dataset": self._folder.name, "digest": self._digest, "shapes": shapes,
            "actions": actions, **self.order.identity(),
        }  # fmt: skip

    def gather(self, items: Int64[np.ndarray, " n"]) -> Samples:
        """The arrays of (n,) items by their place in the bins: (n, 20, ...)."""
        places = self._array("indices")[items].astype(np.int64)
        rows, columns = self._positions(places[..., 0]), places[..., 1]
        if ((columns < 0) | (columns >= self._shapes["rewards"][1])).any():
            raise DamagedArtifact(f"{self._folder / 'indices.bin'} names steps that no row has. Make the bins again.")
        distances = self._array("distances")[items] / self.p95
        acted = self._array(self._acted)[rows, columns]
        continuous = self._observations != "discrete_observations"
        found: dict[str, np.ndarray] = {
            "continuous_observations" if continuous else "discrete_observations": self._array(self._observations)[
                rows, columns
            ],
            "rewards": self._array("rewards")[rows, columns],
            EXP: np.exp(np.float32(-LAMBDA) * distances)[..., None],
            "attention_mask": np.ones((len(items), CONTEXT), np.int64),
            "loss_weight": np.ones((len(items), CONTEXT), np.float32),
        }
        if self._acted == "continuous_actions":
            found |= {self._acted: acted, REPEATED: np.repeat(acted[:, :1], CONTEXT, axis=1)}
        else:
            known = ACTIONS if self._actions is None else len(self._actions)
            if ((acted < 0) | (acted >= known)).any():
                path = self._folder / f"{self._acted}.bin"
                raise InvalidInput(f"{path} has actions that are none of 0 to {known - 1}; contexts know no others.")
            chosen = acted.astype(np.int64) if self._actions is None else self._actions[acted]
            found |= {self._acted: chosen, LOGITS: soft_logits(chosen[:, 0], distances)}
        return {name: np.ascontiguousarray(array) for name, array in found.items()}

    @cached_property
    def p95(self) -> np.float32:
        """What distances are divided by: their 95th percentile, 1 where that is 0. Measured where no file says it."""
        from pipeline.regent.statistics import distance_statistics, normaliser  # not at the top: it loads numba

        statistics = self._folder / STATISTICS
        if statistics.is_file():
            facts = read_json(statistics)
            found = facts.get("p95") if isinstance(facts, dict) else None
            if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < np.inf:
                raise DamagedArtifact(f"{statistics} has no p95 from 0 on. Make the bins again.")
            return normaliser(float(found))
        return normaliser(distance_statistics(lambda: blocks(self._array("distances"))).p95)

    @cached_property
    def _places(self) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
        """The rows of the dataset that the bins have, ascending, and the position of each."""
        rows = read_lookup(self._folder)
        if len(rows) != self._shapes["rewards"][0]:
            raise DamagedArtifact(
                f"The lookup in {self._folder} has {len(rows)} rows, rewards.bin {self._shapes['rewards'][0]}. Make "
                "the bins again."
            )
        order = np.argsort(rows)
        return rows[order], order

    def _positions(self, rows: Int64[np.ndarray, "n 20"]) -> Int64[np.ndarray, "n 20"]:
        """Rows of the dataset -> their positions in the bins."""
        known, positions = self._places
        at = np.searchsorted(known, rows).clip(max=len(known) - 1)
        if (known[at] != rows).any():
            raise DamagedArtifact(f"{self._folder / 'indices.bin'} names rows that are not there. Make the bins again.")
        return positions[at]

    def _one(self, *names: str) -> str:
        """The first array whose name begins so."""
        for name in names:
            if found := sorted(each for each in self._shapes if each.startswith(name)):
                return found[0]
        raise InvalidInput(f"{self._folder} has none of {', '.join(names)}; it has {', '.join(sorted(self._shapes))}.")

    def _array(self, name: str) -> np.memmap:
        if name not in self._open:
            path, shape = self._folder / f"{name}.bin", self._shapes[name]
            dtype = np.dtype("<i4" if name in INTEGERS else "<f4")
            if not path.is_file() or path.stat().st_size != int(np.prod(shape)) * dtype.itemsize:
                there = f"{path.stat().st_size} bytes" if path.is_file() else "nothing"
                raise DamagedArtifact(f"{path} must hold {list(shape)} of {dtype.name}; there is {there}.")
            self._open[name] = np.memmap(path, dtype, "r", shape=shape)
        return self._open[name]

    def __getstate__(self) -> dict[str, object]:
        """Without the open files: each process maps its own."""
        return {**self.__dict__, "_open": {}}


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each array, as `shapes.json` has it."""
    if not (folder / SHAPES).is_file():
        there = f"holds no {SHAPES}" if folder.is_dir() else "is not there"
        raise InvalidInput(
            f"Contexts are read from a folder of bins, with *.bin and {SHAPES} in it; {folder} {there}. It lies inside "
            f"a bins artifact, as DOMAIN-TASK-100demos; of an artifact itself: Contexts.of(workspace.find('bins', ...))"
        )
    shapes = read_json(folder / SHAPES)
    sound = isinstance(shapes, dict) and all(
        isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape)
        for shape in shapes.values()
    )
    if not sound:
        raise DamagedArtifact(f"{folder / SHAPES} must give each array a list of whole numbers, its shape.")
    return {name: tuple(shape) for name, shape in shapes.items()}


def soft_logits(
    chosen: Int64[np.ndarray, " n"], distances: Float32[np.ndarray, "n 20"]
) -> Float32[np.ndarray, "n 20 18"]:
    """(n,) retrieved actions and (n, 20) normalised distances -> (n, 20, 18) float32, each row adding up to 1."""
    cut = np.clip(distances, 0, 1).astype(np.float32)[..., None]
    logits = np.repeat(cut / ACTIONS, ACTIONS, axis=-1)
    at = np.broadcast_to(chosen[:, None, None], (*distances.shape, 1))
    np.put_along_axis(logits, at, (1 + (ACTIONS - 1) * (1 - cut)) / np.float32(ACTIONS), axis=-1)
    return logits


def split(count: int, unseen: bool) -> tuple[range, range]:
    """The items to train and to evaluate on: the last 2,000 of a seen task are evaluated on, none of a held-out one.

    Both lengths are cut to multiples of 256, as upstream's batches need it; what is over belongs to neither.
    """
    begin = count if unseen else max(count - EVALUATION, 0)
    return range(begin // BATCH * BATCH), range(begin, begin + (count - begin) // BATCH * BATCH)
