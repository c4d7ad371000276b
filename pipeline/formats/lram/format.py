"""Datasets as LRAM's trainers (ml-jku/LRAM) read them: a folder a task, in it a file an episode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int64

from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.episode import TEXTS, UNKNOWN, Episode
from pipeline.errors import InvalidInput
from pipeline.exact import exactly, rounded
from pipeline.formats.aspects import EVERYTHING, Aspect, aspects_of, without
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Format, Outgoing, Refusal
from pipeline.formats.lram.arrays import FileLayout, blocks_of, is_grey_row, joystick
from pipeline.formats.lram.finishing import FileBatches
from pipeline.formats.lram.stats import statistics
from pipeline.formats.lram.writing import COMPRESSIONS, FILES, GZIP, HDF5, NONE, NPZ, NPZC, PKL, SUFFIX, writer_of
from pipeline.formats.provenance import PROVENANCE
from pipeline.machine.files import write_json
from pipeline.sources.lram import names
from pipeline.sources.lram.source import LramSource
from pipeline.wording import check_choice, few

VERSIONS = {HDF5: 1, NPZ: 1, NPZC: 2, PKL: 1, GZIP: 2}
"""npzc and gzip in HDF5: 2 by ISA-L, which makes smaller files in less time."""

SIDE = 84
"""What LRAM's own pictures have; it leaves them as they are."""

FRAGMENT = "fragment"
"""`end_reason` of an episode whose beginning or end its source did not read."""

LOST = {
    Aspect.FINAL_OBSERVATION,
    Aspect.DISCOUNTS,
    Aspect.INFOS,
    Aspect.INFO_TEXTS,
    Aspect.RESET_INFOS,
}
"""What no file of LRAM's has a place for; seeds, ends and texts lie beside the files."""

FACTS = ("seed", "terminated", "truncated", "success", "has_final_reward")


class LramFormat(Format):
    """`pong/000000000.hdf5`, ... beside `episode_lengths.json`, `episode_returns.json`, `stats.json` and
    `provenance.json`.

    States have T rows, a grey picture as (1, h, w). Whole-number actions are int32 where all fit, and int64 where they
    were mapped; rewards are float32. `dones` is a number: whether the episode ended.

    Args:
        file: hdf5, npz, npzc (compressed) or pkl.
        compression: of hdf5: none, gzip or lzf.
        returns_to_go: the sum of the rewards from each step on, too.
        full_actions: an Atari game's actions by their place among all 18.
        size: pixels a side of grey pictures, which are scaled by area; 84 leaves them as they are.
        rgb: the grey channel three times.
        family: the folder of the task lies in one of its domain.

    Raises InvalidInput for settings that do not fit together.
    """

    holds = EVERYTHING - LOST
    refuses = frozenset({Refusal.NESTED, Refusal.WIDE_REWARDS})

    def __init__(
        self,
        file: str = HDF5,
        compression: str = NONE,
        returns_to_go: bool = False,
        full_actions: bool = False,
        size: int = SIDE,
        rgb: bool = False,
        family: bool = False,
    ) -> None:
        check_choice("format", file, FILES)
        check_choice("format.compression", compression, COMPRESSIONS)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidInput(f"format.size={size} is no number of pixels; it must be a whole number from 1 on.")
        self.name = self._file = file
        self._compression, self._with_returns, self._full_actions = compression, returns_to_go, full_actions
        self._side, self._rgb, self._family = (None if size == SIDE else size), rgb, family

    def identity(self) -> Mapping[str, Any]:
        """Every setting; the compression of HDF5 alone has one."""
        return {
            "version": VERSIONS[GZIP if self._file == HDF5 and self._compression == GZIP else self._file],
            "file": self._file,
            **({"compression": self._compression} if self._file == HDF5 else {}),
            "returns_to_go": self._with_returns,
            "full_actions": self._full_actions,
            "size": self._side or SIDE,
            "rgb": self._rgb,
            "family": self._family,
        }

    def require(self, data: Sequence[Outgoing]) -> None:
        """Raises CannotHold for nested observations, and for what the settings cannot be done to."""
        for each in data:
            self._require_arrays(each)
            self._require_rewards(each)
            if self._with_returns:
                _require_ends(each)
            if self._full_actions:
                _table_of(each)

    def lost(self, data: Outgoing) -> Iterable[Aspect]:
        """Besides what no file holds: what the settings change, and rewards that float32 does not hold."""
        layout = self._layout(data)
        changed = set[Aspect]()
        if layout.side is not None or layout.rgb:
            changed.add(Aspect.OBSERVATIONS)
        if layout.table is not None and any((layout.table[a] != a).any() for a in blocks_of(data.dataset, "action")):
            changed.add(Aspect.ACTIONS)
        if any(exactly(rewards, np.float32) is None for rewards in blocks_of(data.dataset, "reward")):
            changed.add(Aspect.REWARDS)
        return [*(aspect for aspect in aspects_of(data.dataset) if aspect in LOST), *sorted(changed)]

    def becomes(self) -> Mapping[Aspect, str]:
        size = f"scaled to {self._side} x {self._side}" if self._side else ""
        grey = "the grey channel three times" if self._rgb else ""
        return {
            Aspect.OBSERVATIONS: ", ".join(filter(None, [size, grey])),
            Aspect.ACTIONS: f"stored as places among all {len(ACTIONS)}",
            Aspect.REWARDS: "stored as float32",
        }

    def held(self, data: Outgoing) -> Callable[[Episode], Episode]:
        layout = self._layout(data)
        return lambda episode: without(layout.back(episode), LOST)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        (each,) = data
        name = names.folder_name(each.domain, each.task)
        return PurePosixPath(names.folder_name("", each.domain), name) if self._family else PurePosixPath(name)

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (each,) = data
        place = folder / self.place(data)
        place.mkdir(parents=True, exist_ok=True)
        layout, suffix = self._layout(each), SUFFIX[self._file]
        write = writer_of(self._file, self._compression)

        def write_episode(path: Path, episode: Episode) -> None:
            write(path, layout.arrays(episode))

        with FileBatches(place) as files:
            finished = {path.stem for path in place.glob(f"*{suffix}")}
            start = next((n for n in range(len(each)) if names.stem(n) not in finished), len(each))
            for number, episode in enumerate(each.episodes(start), start):
                if (name := names.stem(number)) not in finished:
                    files.add(f"{name}{suffix}", functools.partial(write_episode, episode=episode), episode.nbytes)
        self._write_beside(each, place, layout)

    def source(self, path: Path) -> LramSource:
        return LramSource.of_own(path)

    def _write_beside(self, data: Outgoing, place: Path, layout: FileLayout) -> None:
        dataset = data.dataset
        stems = [names.stem(number) for number in range(len(data))]
        returns = dataset.per_episode("return").tolist()
        write_json(place / names.LENGTHS, dict(zip(stems, dataset.lengths.tolist(), strict=True)), indent=None)
        write_json(place / names.RETURNS, dict(zip(stems, returns, strict=True)), indent=None)
        write_json(place / names.FACTS, _facts(data, stems), indent=None)
        write_json(place / names.STATS, statistics(data))
        write_json(place / PROVENANCE, {**data.origin(), names.STORED: layout.stored()})

    def _layout(self, data: Outgoing) -> FileLayout:
        rows = data.rows
        action = rows["action"]
        table = _table_of(data) if self._full_actions else None
        chosen = action.dtype
        if table is not None:
            chosen = np.dtype(np.int64)
        elif action.dtype.kind in "iu" and action.shape == () and _fit_int32(data):
            chosen = np.dtype(np.int32)
        return FileLayout(rows["observation"], action, chosen, table, self._side, self._rgb, self._with_returns)

    def _require_arrays(self, data: Outgoing) -> None:
        rows = data.rows
        if nested := sorted(name for name in rows if name.startswith("observation/")):
            raise CannotHold(
                f"{data.domain}/{data.task}: format={self.name} holds one array of observations, and there are "
                f"{len(nested)}: {few(nested)}. {holders(Refusal.NESTED)} holds them."
            )
        if (self._side is not None or self._rgb) and not is_grey_row(rows["observation"]):
            setting = "format.rgb=true" if self._rgb else f"format.size={self._side}"
            raise CannotHold(
                f"{data.domain}/{data.task}: {setting} is for grey pictures, (height, width) uint8; an observation is "
                f"{rows['observation']}. Leave it out."
            )
        if self._side is not None and self._side > min(rows["observation"].shape):
            raise CannotHold(
                f"format.size={self._side} is larger than the pictures, {rows['observation']}; it makes them smaller."
            )

    def _require_rewards(self, data: Outgoing) -> None:
        for rewards in blocks_of(data.dataset, "reward"):
            if rounded(rewards, np.float32) is None:
                raise CannotHold(
                    f"{data.domain}/{data.task}: the reward {rewards[np.argmax(np.abs(rewards))]} is more than float32 "
                    f"holds, and format={self.name} has no wider one. {holders(Refusal.WIDE_REWARDS)} holds it."
                )


def _fit_int32(data: Outgoing) -> bool:
    return all(exactly(actions, np.int32) is not None for actions in blocks_of(data.dataset, "action"))


def _table_of(data: Outgoing) -> Int64[np.ndarray, "n"] | None:
    """What stands for each action of a game; None where all 18 are there already. Raises CannotHold elsewhere."""
    label = f"{data.domain}/{data.task}"
    if data.domain != "atari" or data.rows["action"].shape != () or data.rows["action"].dtype.kind not in "iu":
        raise CannotHold(f"{label}: format.full_actions=true is for the games of domain=atari. Leave it out.")
    table = np.asarray(joystick(data.provenance.get("parameters", {})) or minimal_actions(data.task))
    if len(table) == len(ACTIONS):
        return None
    for actions in blocks_of(data.dataset, "action"):
        if ((actions < 0) | (actions >= len(table))).any():
            raise CannotHold(
                f"{label} has {len(table)} actions, 0 to {len(table) - 1}, and the dataset holds "
                f"{int(actions.max())}: it is of another game, or has all {len(ACTIONS)} already. Leave "
                f"format.full_actions out."
            )
    return table


def _require_ends(data: Outgoing) -> None:
    """Raises CannotHold where the end of an episode was not read: what it brought after that is not known."""
    reasons = np.asarray(data.dataset.texts("end_reason"))
    cut = int(((reasons == FRAGMENT) & ~data.dataset.per_episode("terminated")).sum())
    if cut:
        raise CannotHold(
            f"{data.domain}/{data.task}: the end of {cut} episodes was not read, so their returns to go are not known. "
            f"Ingest with source.edges=stitch or drop, or leave format.returns_to_go out."
        )


def _facts(data: Outgoing, stems: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What episodes say once and no file has a place for, by name and stem; without what none of them says."""
    columns: dict[str, list[Any]] = {name: data.dataset.per_episode(name).tolist() for name in FACTS}
    columns |= {name: data.dataset.texts(name) for name in TEXTS}
    silent: dict[str, Any] = {"seed": UNKNOWN, "success": UNKNOWN, "has_final_reward": True, "mission": ""}
    return {
        name: dict(zip(stems, values, strict=True))
        for name, values in columns.items()
        if any(value != silent.get(name) for value in values)
    }
