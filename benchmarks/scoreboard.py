"""What benchmarks found, kept as JSON with machine, date and commit, and told as one page."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, shown, table

HERE = Path(__file__).parent
RECORDS = HERE / "results.json"
RESULTS = HERE / "results.md"
HEAD = (
    "`make bench` writes this page. Ratios are ours over the other: below 1 ours is faster. "
    "What is wanted stands in brackets; what misses it is bold."
)
LOST = 1.15
"""A ratio this many times the committed one is marked."""


@dataclass(frozen=True)
class Record:
    """The rows of one benchmark, and when, where and of which code they were measured.

    commit: as `git describe` names it, with -dirty where files were changed; quick: small versions were measured.
    """

    benchmark: str
    quick: bool
    command: str
    machine: str
    date: str
    commit: str
    rows: tuple[Row, ...]

    @property
    def key(self) -> tuple[str, bool]:
        """A newer record with the same key takes its place."""
        return self.benchmark, self.quick


def measured(benchmark: str, quick: bool, command: str, rows: Iterable[Row]) -> Record:
    """A record of now, here."""
    today = datetime.now(UTC).date().isoformat()
    return Record(benchmark, quick, command, machine(), today, commit(), tuple(rows))


def machine() -> str:
    """The processor, how many cores of it this process may use, and Python."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {names[0] if names else platform.machine()}, Python {platform.python_version()}"


def commit() -> str:
    """The commit of this checkout; "unknown" outside of git."""
    return (_git("describe", "--always", "--dirty", "--exclude=*") or b"unknown").decode().strip()


def kept(place: Path = RECORDS) -> list[Record]:
    """The records of a file, none where there is no file."""
    return _parsed(place.read_bytes()) if place.exists() else []


def committed(place: Path = RECORDS) -> list[Record]:
    """The records of the last commit; outside of git those of the file."""
    found = _git("show", f"HEAD:./{place.name}", folder=place.parent)
    return kept(place) if found is None else _parsed(found)


def keep(records: Sequence[Record], place: Path = RECORDS) -> list[Record]:
    """Put records into the file, in the places of older ones of the same keys; return all that are there now."""
    found = {each.key: each for each in [*kept(place), *records]}
    answer = [found[key] for key in sorted(found)]
    fresh = place.with_name(f".{place.name}")
    fresh.write_text(json.dumps([_plain(each) for each in answer], indent=1) + "\n")
    fresh.replace(place)
    return answer


def lost(now: Record, before: Iterable[Record]) -> dict[str, tuple[float, float]]:
    """The ratios of `now` at least LOST times those of the older record with its key: (then, now) by work and other."""
    last = {(row.work, other): ratio for each in before if each.key == now.key for row, other, ratio in ratios(each)}
    found = {}
    for row, other, ratio in ratios(now):
        then = last.get((row.work, other))
        if then is not None and ratio > then and ratio >= LOST * then:  # nothing is not more than nothing
            found[f"{row.work} / {other}"] = (then, ratio)
    return found


def ratios(record: Record) -> list[tuple[Row, str, float]]:
    """Each row with each peer or limit that it has, and ours over that."""
    return [(row, other, ratio) for row, other, ratio, _ in _compared(record)]


def goals(record: Record) -> list[tuple[Row, str, float, float]]:
    """Each row with each goal that it has: the peer or limit, ours over that, and the largest such ratio wanted."""
    return [(row, other, ratio, goal) for row, other, ratio, goal in _compared(record) if goal is not None]


def page(records: Sequence[Record], stages: Mapping[str, Sequence[str]]) -> str:
    """The page of results: how many goals are reached, what is missed, and the table of each benchmark by stage."""
    chosen = best(records)
    judged = [(each, *found) for each in chosen.values() for found in goals(each)]
    missed = [(row.work, other, ratio, goal) for _, row, other, ratio, goal in judged if ratio > goal]
    reached = f"{len(judged) - len(missed)} of {len(judged)} goals are reached"
    lines = ["# Results", "", f"{HEAD} {reached}.", ""]
    lines += ["| misses its goal | against | ratio | wanted |", "|---|---|---:|---:|"]
    lines += [f"| {work} | {other} | {shown(ratio)} | {shown(goal)} |" for work, other, ratio, goal in missed]
    for stage, names in stages.items():
        there = [chosen[name] for name in names if name in chosen]
        lines += ["", f"## {stage}"] if there else []
        for each in there:
            lines += ["", f"`{each.command}`, {each.date}, {each.commit}, {each.machine}.", "", table(each.rows)]
    return "\n".join(lines) + "\n"


def best(records: Iterable[Record]) -> dict[str, Record]:
    """The whole record of each benchmark, the quick one where it has no other."""
    return {each.benchmark: each for each in sorted(records, key=lambda each: not each.quick)}


def _compared(record: Record) -> Iterator[tuple[Row, str, float, float | None]]:
    for row in record.rows:
        if row.to_peer is not None:
            yield row, row.peer, row.to_peer, row.peer_goal
        if row.to_limit is not None:
            yield row, row.limit, row.to_limit, row.limit_goal


def _plain(record: Record) -> dict[str, Any]:
    rows = [{name: value for name, value in asdict(row).items() if value not in ("", None)} for row in record.rows]
    return {field.name: getattr(record, field.name) for field in fields(record)} | {"rows": rows}


def _parsed(text: bytes) -> list[Record]:
    return [Record(**(each | {"rows": tuple(Row(**row) for row in each["rows"])})) for each in json.loads(text)]


def _git(*words: str, folder: Path = HERE) -> bytes | None:
    """What git prints; None where it cannot."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
