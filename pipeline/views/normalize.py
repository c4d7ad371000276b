"""Fields without their mean and deviation, which are exact, of all states of a dataset."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Num, Shaped

from pipeline.artifacts.beside import STATISTICS, hidden_places
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import combine
from pipeline.errors import InvalidInput, unknown_name
from pipeline.exact import exactly
from pipeline.machine.compiled import compiled
from pipeline.machine.files import write_atomic
from pipeline.machine.moments import ExactMoments
from pipeline.machine.progress import progress

BLOCK_BYTES = 2**24
"""Of the states that are read at a time."""

KEPT = 16
"""So many contents of a growing dataset have their statistics beside it."""

VERSION = 1
"""Of the file that they are kept in."""

log = logging.getLogger(__name__)


class FieldStatistics(NamedTuple):
    """Of a step array over all states.

    Attributes:
        mean: of the shape of a row.
        std: the population's, of the shape of a row; 1 where all numbers are the same.
        states: how many.
    """

    mean: Float64[np.ndarray, "*row"]
    std: Float64[np.ndarray, "*row"]
    states: int


def chosen_statistics(
    dataset: EpisodeDataset, normalize: Sequence[str] | Mapping[str, FieldStatistics], fields: Iterable[str]
) -> dict[str, FieldStatistics]:
    """What a view normalises its `fields` by: of the named arrays of its dataset, or as they are given.

    A name stands for all arrays below it, but for pictures (uint8 of two or more axes), which are named in full. Raises
    UnknownName for a name that no array has, InvalidInput where no field is of it, and where an array has no mean.
    """
    if isinstance(normalize, Mapping):
        for name, given in normalize.items():
            _check_given(dataset, name, given)
        return dict(normalize)
    if isinstance(normalize, str):
        raise InvalidInput(f"normalize={normalize!r} is a text. Name arrays in a list: normalize=({normalize!r},).")
    if not isinstance(normalize, Iterable):
        raise InvalidInput(f"normalize={normalize!r} names no arrays. Name them in a list: normalize=('observation',).")
    arrays = {_array_of(field) for field in fields}
    for name in normalize:
        if not any(name == array or array.startswith(f"{name}/") or name.startswith(f"{array}/") for array in arrays):
            raise InvalidInput(f"normalize= names {name}, of which this view has no field. It has {_listed(fields)}.")
    return dataset_statistics(dataset, [each for name in normalize for each in _below(dataset, name)])


def dataset_statistics(dataset: EpisodeDataset, names: Sequence[str]) -> dict[str, FieldStatistics]:
    """The statistics of step arrays over all states, read once and then remembered beside the dataset."""
    if not names:
        return {}
    folder = dataset.index.folder if dataset.index else None
    known = _remembered(folder, dataset.digest()) if folder else {}
    fresh = {name: _measured(dataset, name) for name in dict.fromkeys(names) if name not in known}
    if fresh and folder:
        _remember(folder, dataset.digest(), known | fresh)
    return {name: (known | fresh)[name] for name in names}


def statistics_identity(statistics: Mapping[str, FieldStatistics]) -> dict[str, str]:
    """A digest of each mean and deviation."""
    return {name: combine([each.mean.tobytes(), each.std.tobytes()]) for name, each in sorted(statistics.items())}


def normalize_rows(
    rows: Num[np.ndarray, "rows *row"], statistics: FieldStatistics, out: Num[np.ndarray, "rows *row"]
) -> None:
    """(x - mean) / std of each row, computed in float64, to `out`, which is float32 or float64."""
    width = max(1, statistics.mean.size)
    flat, to = (np.ascontiguousarray(rows).reshape(-1, width), out.reshape(-1, width))
    _normalize(flat, statistics.mean.ravel(), statistics.std.ravel(), to)


@compiled()
def _normalize(
    rows: Num[np.ndarray, "rows columns"],
    mean: Float64[np.ndarray, " columns"],
    std: Float64[np.ndarray, " columns"],
    out: Num[np.ndarray, "rows columns"],
) -> None:
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            out[row, column] = (np.float64(rows[row, column]) - mean[column]) / std[column]


def _measured(dataset: EpisodeDataset, name: str) -> FieldStatistics:
    shape, dtype = dataset.spec(name)
    columns = int(np.prod(shape, dtype=np.int64))
    moments, step = ExactMoments(columns), max(1, BLOCK_BYTES // max(1, columns * dtype.itemsize))
    with progress("statistics", f"{dataset.name} {name}", "states", dataset.states) as advance:
        for block in _blocks(dataset, name, step):
            real = exactly(block, np.float64)
            if real is None:
                raise InvalidInput(
                    f"{name} of {dataset.name} is {dtype}, with numbers that no float64 is. {_without(name)}"
                )
            try:
                moments.add(real.reshape(len(real), columns))
            except ValueError as error:
                raise InvalidInput(
                    f"{name} of {dataset.name} cannot be normalised: {error}. {_without(name)}"
                ) from error
            advance(len(block))
    mean, std = (each.reshape(shape) for each in moments.means_and_deviations())
    return FieldStatistics(mean, np.where(std > 0, std, 1.0), moments.rows)


def _blocks(dataset: EpisodeDataset, name: str, step: int) -> Iterator[Shaped[np.ndarray, "states ..."]]:
    for start in range(0, dataset.states, step):
        yield dataset.state_rows(name, start, min(start + step, dataset.states))


def _below(dataset: EpisodeDataset, name: str) -> list[str]:
    """The arrays that a name stands for."""
    known = dataset.array_names()
    if name in known:
        return [name]
    inside = [each for each in known if each.startswith(f"{name}/")]
    if not inside:
        raise unknown_name(f"step array of {dataset.name}", name, known, "Only arrays of the dataset are normalised.")
    return [each for each in inside if not _is_picture(*dataset.spec(each))]


def _is_picture(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return dtype == np.uint8 and len(shape) > 1


def _check_given(dataset: EpisodeDataset, name: str, given: FieldStatistics) -> None:
    shape, _ = dataset.spec(name)
    for what, array in (("mean", given.mean), ("std", given.std)):
        if np.shape(array) != shape:
            raise InvalidInput(
                f"normalize= has a {what} of {name} of shape {list(np.shape(array))}; in {dataset.name} a row of it "
                f"has the shape {list(shape)}. Take the statistics of a view of the same array."
            )


def _array_of(field: str) -> str:
    """The array that a field of a view is made of: `next_observation` and `goal` are observations."""
    array = field.removeprefix("next_")
    return f"observation{array[4:]}" if array.split("/")[0] == "goal" else array


def _without(name: str) -> str:
    return f"Leave {name} out of normalize=."


def _listed(fields: Iterable[str]) -> str:
    return ", ".join(sorted(fields))


def _remembered(folder: Path, digest: str) -> dict[str, FieldStatistics]:
    """What was measured of this content before; nothing where that cannot be read."""
    for path in hidden_places(folder, STATISTICS):
        try:
            arrays = json.loads(path.read_text())["contents"][digest]
            return {
                name: FieldStatistics(
                    np.array(each["mean"], np.float64), np.array(each["std"], np.float64), each["states"]
                )
                for name, each in arrays.items()
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.debug("no statistics of %s at %s: %s", folder, path, error)
    return {}


def _remember(folder: Path, digest: str, statistics: Mapping[str, FieldStatistics]) -> None:
    arrays = {
        name: {"mean": each.mean.tolist(), "std": each.std.tolist(), "states": each.states}
        for name, each in sorted(statistics.items())
    }
    for path in hidden_places(folder, STATISTICS):
        try:
            contents = json.loads(path.read_text())["contents"]
            others = [(key, value) for key, value in contents.items() if key != digest]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            others = []
        text = json.dumps({"version": VERSION, "contents": dict([*others[-KEPT + 1 :], (digest, arrays)])})
        try:
            write_atomic(path, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
            return
        except OSError as error:  # a folder that can only be read: then they are measured again
            log.debug("statistics of %s are not kept at %s: %s", folder, path, error)
