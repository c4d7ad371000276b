"""What `benchmarks.gpu` hands to its parts, and the page of lines that they give back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.gpu_absent import MissingPackage


@dataclass(frozen=True)
class Line:
    """What was found about one piece of work.

    figure: what was measured, with its unit. ratio: to the aim, so that 1 and less reach it; None where there is none.
    """

    work: str
    figure: str = ""
    aim: str = ""
    ratio: float | None = None
    note: str = ""
    wrong: bool = False


@dataclass(frozen=True)
class Sizes:
    """How much work. `sets`: of the nasty searches, relative; `side`: of the pictures that the network sees."""

    sets: float
    vectors: int
    dimensions: tuple[int, ...]
    k: int
    examples: int
    frames: int
    side: int
    repeats: int
    seconds: float


@dataclass(frozen=True)
class Bench:
    """Where and how much. `device` of torch, `searching` as ExactIndex calls it, `folder` for files."""

    device: str
    searching: str
    sizes: Sizes
    folder: Path


Part = Callable[[Bench], Iterable[Line]]


@dataclass
class Page:
    """The lines, written to a file each time that one comes. `aims`: toy sizes have none."""

    head: str
    file: Path | None
    aims: bool = True
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        line = line if self.aims else replace(line, ratio=None)
        self.lines.append(line)
        print(_cells(line), flush=True)
        if self.file is not None:
            self.file.write_text(self.text())

    def text(self) -> str:
        """All of it, in Markdown."""
        rows = ["| work | found | aim | ratio to aim | note |", "|---|---:|---:|---:|---|", *map(_cells, self.lines)]
        return "\n".join([self.head, "", *rows, ""])

    @property
    def wrong(self) -> bool:
        return any(line.wrong for line in self.lines)


def _cells(line: Line) -> str:
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}" if line.ratio <= 1 else f"**{line.ratio:.2f}**"
    figure = f"**{line.figure}**" if line.wrong else line.figure
    return f"| {line.work} | {figure} | {line.aim} | {ratio} | {line.note} |"


def name_of(part: Part) -> str:
    """The first sentence of what it says of itself."""
    return (part.__doc__ or part.__name__).split(".")[0].strip()


def lines_of(name: str, lines: Iterable[Line]) -> Iterator[Line]:
    """The lines of a piece of work, and one more where it stops: a package or memory that is not there, or a fault."""
    import torch

    try:
        yield from lines
    except (MissingPackage, ModuleNotFoundError) as error:
        yield Line(name, "left out", note=f"needs {_short(error)}: pip install --target FOLDER, and PYTHONPATH=FOLDER")
    except torch.cuda.OutOfMemoryError as error:
        yield Line(name, "left out", note=f"this card has too little memory: {_short(error)}")
    except Exception as error:  # whatever it is, the other parts go on
        yield Line(name, "failed", note=f"{type(error).__name__}: {_short(error)}", wrong=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].replace("|", "/")
