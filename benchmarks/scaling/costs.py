"""Unit costs that were measured: what each is, and the file that keeps them with machine, date and commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.scoreboard import commit, machine

COSTS = Path(__file__).with_name("costs.json")
CHECK = Path(__file__).with_name("check.json")
RECALL = Path(__file__).with_name("recall.json")

UNITS = {
    "command_s": "start of a command whose work is done already, until it ends",
    "job_s": "each further job of a sweep, beside its work",
    "pool_s": "joblib's second process, before its first job",
    "ingest_busy_s": "ingest of a million frames of the DQN Replay Dataset, busy games, one core",
    "ingest_still_s": "the same, still games",
    "packed_busy_bytes": "a frame under gzip, with action, reward and flag, busy games",
    "packed_still_bytes": "the same, still games",
    "stored_busy_bytes": "a stored step, busy games",
    "stored_still_bytes": "the same, still games",
    "crowded": "ingest beside another ingest on the second core, over ingest alone (a ratio)",
    "join_start_s": "joining pieces, beside the command's start and whatever their number",
    "join_s": "joining pieces, a million frames",
    "jat_vector_s": "ingest of a step of JAT, 39 numbers",
    "jat_vector_bytes": "a real step of 39 numbers in JAT's files",
    "stored_vector_bytes": "a stored step of 39 numbers",
    "jat_screen_s": "ingest of a step of JAT, four screens of which one is stored",
    "jat_screen_bytes": "a step of four screens in JAT's files",
    "embed_s": "a stack of four screens through ResNet-18 (float32, not compiled)",
    "crowded_network": "the network beside another one on the second core, over the network alone (a ratio)",
    "query_39_s": "a query of 39 numbers, whatever the pool",
    "pair_39_s": "a query of 39 numbers with one state of the pool",
    "query_512_s": "a query of 512 numbers, whatever the pool",
    "pair_512_s": "a query of 512 numbers with one state of the pool",
    "rest_39_s": "distances, bins and parquet of a state of 39 numbers",
    "rest_512_s": "distances, bins and parquet of a state of 512 numbers",
    "made_39_bytes": "neighbours, distances, bins and parquet of a state of 39 numbers",
    "made_512_bytes": "the same of 512 numbers",
    "export_vector_s": "a step of 39 numbers into an HDF5 file (format=hdf5)",
    "export_screen_s": "a screen into an HDF5 file (format=hdf5)",
}
"""Each unit cost; seconds are of one core."""


@dataclass(frozen=True)
class Costs:
    """Unit costs by the names of UNITS, and where and when they were measured.

    others: cores that other programs of the machine took meanwhile, on average (`benchmarks.scaling.quiet`).
    """

    machine: str
    date: str
    commit: str
    others: float
    units: Mapping[str, float]

    def __getitem__(self, name: str) -> float:
        return self.units[name]


def measured_now(units: Mapping[str, float], others: float) -> Costs:
    """Costs of now, here, in the order of UNITS, four digits each."""
    rounded = {name: float(f"{units[name]:.4g}") for name in UNITS}
    return Costs(machine(), datetime.now(UTC).date().isoformat(), commit(), others, rounded)


def load_costs(place: Path = COSTS) -> Costs:
    """The costs that were kept."""
    return Costs(**json.loads(place.read_text()))


def save_costs(costs: Costs, place: Path = COSTS) -> None:
    """Keep them in the place of older ones."""
    place.write_text(json.dumps(asdict(costs), indent=1) + "\n")


def load_records(place: Path) -> dict[str, Any]:
    """What `save_records` kept; rows are none where nothing was kept yet."""
    return json.loads(place.read_text()) if place.exists() else {"rows": []}


def save_records(place: Path, rows: Sequence[Mapping[str, Any]], others: float) -> None:
    """Keep rows with machine, date and commit of now, and what others took, in the place of older ones."""
    now = {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "commit": commit(), "others": others}
    place.write_text(json.dumps({**now, "rows": list(rows)}, indent=1) + "\n")
