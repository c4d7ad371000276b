"""What each form holds, measured: datasets go out in it and come in again by its own door."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.formats.absent import FinalObservation
from pipeline.formats.aspects import OF_EVERY_DATASET, Aspect, differing
from pipeline.formats.contract import CannotHold, Format, Outgoing
from tests.contracts.format import Listed, ingested
from tests.everything import DTYPES, LAYOUTS, everything, grey_pictures

ROOT = Path(__file__).parent.parent
YES, DROPPED, CHANGED, REFUSED = "yes", "dropped", "changed", "refused"
LAID_OUT = {Aspect.DTYPES, Aspect.OBSERVATIONS, Aspect.ACTIONS}
"""What a layout shows that a form does not hold."""


@dataclass(frozen=True)
class Trip:
    """One dataset, out and in again.

    Attributes:
        refused: the form cannot hold it at all.
        lost: the aspects in which what came back differs.
        declared: what the form said beforehand that it would lose.
    """

    refused: bool = False
    lost: set[Aspect] = field(default_factory=set)
    declared: set[Aspect] = field(default_factory=set)


def all_form_names() -> list[str]:
    """The forms that a user can choose."""
    return sorted(path.stem for path in (ROOT / "conf" / "format").glob("*.yaml"))


def form_names() -> list[str]:
    """Those that a door reads back."""
    return [name for name in all_form_names() if default_form(name).source(Path("x")) is not None]


def page_of(name: str) -> str:
    """The page of a form, below docs/formats: its own, or that of the class which has several names."""
    own = f"{name}.md"
    if (ROOT / "docs" / "formats" / own).exists():
        return own
    return f"{type(default_form(name)).__module__.split('.')[2]}.md"


def default_form(name: str) -> Format:
    """The form as its YAML builds it."""
    keys = yaml.safe_load((ROOT / "conf" / "format" / f"{name}.yaml").read_text())
    writer = {key: _resolved(value, keys) for key, value in keys["writer"].items()}
    module, _, kind = writer.pop("_target_").rpartition(".")
    form: Format = getattr(import_module(module), kind)(**writer)
    return form


def _resolved(value: Any, keys: Mapping[str, Any]) -> Any:
    """What `${format.key}` stands for."""
    found = re.fullmatch(r"\$\{format\.(\w+)\}", str(value))
    return keys[found[1]] if found else value


def trip(form: Format, dataset: EpisodeDataset, folder: Path) -> Trip:
    """A dataset out in the form and in again, by way of an empty folder."""
    facts = {"dataset": "listed-v1", "digest": dataset.digest(), "episodes": len(dataset)}
    asked = Aspect.FINAL_OBSERVATION in form.holds and not form.marks_absence
    data = Outgoing("toy", "corner", dataset, facts, FinalObservation.REPEAT if asked else None)
    try:
        form.require([data])
    except CannotHold:
        return Trip(refused=True)
    folder.mkdir(parents=True)
    form.write([data], folder)
    back = list(form.source(folder / form.place([data])).episodes("toy", "corner"))
    lost = {aspect for pair in zip(dataset, back, strict=True) for aspect in differing(*pair)}
    return Trip(lost=lost, declared=set(form.lost(data)))


def stored(folder: Path) -> tuple[dict[str, EpisodeDataset], dict[str, EpisodeDataset]]:
    """The datasets that are sent: those with every aspect, and those with one layout each, by name."""
    workspace = Workspace(str(folder), "bin")

    def dataset(number: int, episodes: Sequence[Episode]) -> EpisodeDataset:
        return EpisodeDataset.of(ingested(Listed(episodes), workspace, f"listed-v{number}"))

    whole = {"vectors": everything(), "pictures": everything(grey_pictures)}
    layouts = {name: make() for name, make in LAYOUTS.items()}
    numbers = count(1)  # both have vectors
    return (
        {name: dataset(next(numbers), episodes) for name, episodes in whole.items()},
        {name: dataset(next(numbers), episodes) for name, episodes in layouts.items()},
    )


class Column:
    """What one form does with all of them."""

    def __init__(
        self, name: str, whole: Mapping[str, EpisodeDataset], layouts: Mapping[str, EpisodeDataset], folder: Path
    ):
        self.name, self.form = name, default_form(name)
        tried = (trip(self.form, dataset, folder / each) for each, dataset in whole.items())
        self.whole = next((each for each in tried if not each.refused), Trip(refused=True))
        self.layouts = {
            each: trip(self.form, dataset, folder / str(n)) for n, (each, dataset) in enumerate(layouts.items())
        }

    def aspect(self, aspect: Aspect) -> str:
        """The cell of an aspect."""
        if self.whole.refused:
            return REFUSED
        return (CHANGED if aspect in OF_EVERY_DATASET else DROPPED) if aspect in self.whole.lost else YES

    def layout(self, name: str) -> str:
        """The cell of a layout."""
        if (found := self.layouts[name]).refused:
            return REFUSED
        other = found.lost & LAID_OUT
        return YES if not other else "other type" if other == {Aspect.DTYPES} else CHANGED

    def dtypes(self) -> str:
        """The cell of all types of numbers: those that are not held, and what becomes of them."""
        found: dict[str, list[str]] = {}
        for name in DTYPES:
            found.setdefault(self.layout(name), []).append(f"`{name}`")
        found.pop(YES, None)
        return "; ".join(f"{', '.join(names)} {what}" for what, names in found.items()) or YES

    def absent(self) -> str:
        """The cell of a last observation that a source did not have."""
        if Aspect.FINAL_OBSERVATION not in self.form.holds:
            return "no place"
        return "marked" if self.form.marks_absence else "asked"


def table(columns: Sequence[Column]) -> str:
    """The tables of docs/formats/README.md."""
    kept = [[str(aspect), *(each.aspect(aspect) for each in columns)] for aspect in Aspect]
    kept.append(["a last observation that is missing", *(each.absent() for each in columns)])
    takes = [[name, *(each.layout(name) for each in columns)] for name in LAYOUTS if name not in DTYPES]
    takes.append(["numbers of each type", *(each.dtypes() for each in columns)])
    facts = [
        ["what is written", *("a file" if each.form.suffixes else "a folder" for each in columns)],
        ["several tasks in one", *("yes" if each.form.joins else "no" for each in columns)],
        ["the way in", *(f"`source={each.form.source(Path('x')).name}`" for each in columns)],
    ]
    return "\n\n".join(
        _rows(title, columns, rows)
        for title, rows in (("what comes back", kept), ("observations and actions", takes), ("", facts))
    )


def _rows(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    head = [title, *(f"[{each.name}]({page_of(each.name)})" for each in columns)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
