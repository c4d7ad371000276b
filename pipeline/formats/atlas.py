"""`format=atlas`: one parquet file that Embedding Atlas opens: each state a point, its neighbours by exact search."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.command import again
from pipeline.episode import INFO
from pipeline.errors import InvalidInput
from pipeline.formats.aspects import Aspect
from pipeline.formats.atlas_pictures import small_pictures
from pipeline.formats.atlas_points import AtlasPoints
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Format, Outgoing, Refusal
from pipeline.formats.image_text.rows import row_groups, write_rows, wrong_rows
from pipeline.formats.image_text.words import ActionTexts
from pipeline.policies.outputs import ENTROPY, VALUE
from pipeline.wording import check_choice, check_count

log = logging.getLogger(__name__)

FORMAT = 1

GROUP_ROWS = 2**14

ROWS = 200_000
"""Points that a browser shows without effort."""

FIXED = pa.schema(
    [
        ("x", pa.float32()),
        ("y", pa.float32()),
        ("neighbors", pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])),
        ("cluster", pa.int64()),
        ("environment", pa.string()),
        ("episode", pa.int64()),
        ("step", pa.int64()),
        ("action", pa.string()),
        ("reward", pa.float64()),
        ("return", pa.float64()),
        ("success", pa.int64()),
        ("end_reason", pa.string()),
        ("mission", pa.string()),
    ]
)

FRAME = pa.field("frame", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


class AtlasFormat(Format):
    """Rows of states, in the order of the dataset.

    Args:
        frames: `auto` takes the pictures that were drawn, where they are there; `none`.
        rows: states at most; of more, every n-th.
        neighbours: of each state; fewer where there are not so many.
        own_episode: whether a state's neighbours may be of its own episode.
    """

    name = "atlas"
    holds = frozenset({Aspect.REWARDS, Aspect.SUCCESS, Aspect.END_REASON, Aspect.MISSIONS})
    suffixes = (".parquet",)

    def __init__(self, frames: str = "auto", rows: int = ROWS, neighbours: int = 10, own_episode: bool = False) -> None:
        check_choice("format.frames", frames, ("auto", "none"))
        for key, value, least in (("rows", rows, 2), ("neighbours", neighbours, 1)):
            check_count(f"format.{key}", value, least)
        self.takes_frames = frames == "auto"
        self._rows, self._neighbours, self._own_episode = rows, neighbours, own_episode

    def identity(self) -> Mapping[str, Any]:
        facts = {"rows": self._rows, "neighbours": self._neighbours, "own_episode": self._own_episode}
        return {"version": FORMAT, "frames": "auto" if self.takes_frames else "none", **facts}

    def require(self, data: Sequence[Outgoing]) -> None:
        """Raises CannotHold where a state would have no neighbour, or no place."""
        for each in data:
            if not any(row.nbytes for name, row in each.rows.items() if name.startswith("observation")):
                raise CannotHold(f"The observations of {each.dataset.name} hold no number; no state has a place.")
            if each.dataset.states < 2:
                raise CannotHold(f"{each.dataset.name} has one state: it has no neighbours. Collect more episodes.")
            if len(each) < 2 and not self._own_episode:
                raise CannotHold(
                    f"{each.dataset.name} has one episode: its states have no neighbours in others. Take those of the "
                    f"same episode: {again(format__own_episode=True)}"
                )

    def becomes(self) -> Mapping[Aspect, str]:
        return {
            Aspect.OBSERVATIONS: "two coordinates, and neighbours",
            Aspect.ACTIONS: "texts",
            Aspect.DTYPES: "dropped",
        }

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(f"{data[0].task}.parquet")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (outgoing,) = data
        points = self._points(outgoing)
        if points.every > 1:
            log.warning("export %s/%s: %s", outgoing.domain, outgoing.task, points.left_out())
        path = folder / self.place(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, _groups(outgoing, points), _schema(outgoing), ["frame"], data)

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        (outgoing,) = data
        return wrong_rows(path, _groups(outgoing, self._points(outgoing)), _schema(outgoing), _label)

    def _points(self, data: Outgoing) -> AtlasPoints:
        try:
            return AtlasPoints(data, self._rows, self._neighbours, self._own_episode)
        except InvalidInput as error:
            raise CannotHold(f"{data.dataset.name}: {error} {holders(Refusal.NESTED)} holds it.") from error


def _outputs(data: Outgoing) -> dict[str, str]:
    """What the policy said of each decision, where that was kept: the column by the name of the array."""
    return {f"{INFO}{name}": name for name in (ENTROPY, VALUE) if f"{INFO}{name}" in data.rows}


def _schema(data: Outgoing) -> pa.Schema:
    schema = FIXED
    for name in _outputs(data).values():
        schema = schema.append(pa.field(name, pa.float32()))
    return schema.append(FRAME) if data.frames is not None else schema


def _groups(data: Outgoing, points: AtlasPoints) -> Iterator[pa.Table]:
    return row_groups(_tables(data, points), GROUP_ROWS)


def _tables(data: Outgoing, points: AtlasPoints) -> Iterator[tuple[pa.Table, Any]]:
    texts, schema = ActionTexts(data.provenance["parameters"]), _schema(data)
    environment = pa.scalar(f"{data.domain}/{data.task}", pa.string())
    once = {name: data.dataset.per_episode(name) for name in ("return", "success")}
    words = {name: pa.array(data.dataset.texts(name), pa.string()) for name in ("end_reason", "mission")}
    for block, frames, sizes in small_pictures(data, points.states):
        own = slice(block.start, block.stop)
        episodes, states = points.episodes[own], points.states[own]
        columns = {
            "x": pa.array(points.places[own, 0]),
            "y": pa.array(points.places[own, 1]),
            "neighbors": points.neighbours(block),
            "cluster": pa.array(points.clusters[own]),
            "environment": pa.repeat(environment, len(block)),
            "episode": pa.array(episodes),
            "step": pa.array(points.steps[own]),
            "action": texts.clean(points.read("action", states)),
            "reward": pa.array(points.read("reward", states)),
            "return": pa.array(once["return"][episodes]),
            "success": pa.array(once["success"][episodes].astype("int64")),
            **{name: each.take(pa.array(episodes)) for name, each in words.items()},
            **{column: pa.array(points.read(name, states)) for name, column in _outputs(data).items()},
        }
        if frames is not None:
            columns["frame"] = pa.StructArray.from_arrays([frames, _paths(columns)], ["bytes", "path"])
        yield pa.Table.from_arrays([columns[name] for name in schema.names], schema.names), sizes


def _paths(columns: Mapping[str, pa.Array]) -> pa.Array:
    """`3/17.png`: a name for each picture."""
    parts = [columns[name].cast(pa.string()) for name in ("episode", "step")]
    return pc.binary_join_element_wise(pc.binary_join_element_wise(*parts, "/"), ".png", "")


def _label(table: pa.Table, row: int) -> str:
    return f"step {table['step'][row].as_py()} of episode {table['episode'][row].as_py()}"
