"""The tables and plots of docs/scaling.md, from what was measured and simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaling.chart import drawn
from benchmarks.scaling.costs import CHECK, RECALL, UNITS, Costs, load_costs, load_records
from benchmarks.scaling.plans import (
    DAY,
    DQN_WORKERS,
    HOUR,
    JAT,
    JAT_WORKERS,
    JatCosts,
    core_hours,
    dqn_outcome,
    dqn_sizes,
    jat_outcome,
    saturated,
)
from benchmarks.scaling.simulation import SHARES, Outcome
from benchmarks.start import PROJECT

PAGE = PROJECT / "docs" / "scaling.md"
PLOTS = {"dqn": PAGE.with_name("scaling_dqn.svg"), "jat": PAGE.with_name("scaling_jat.svg")}
STAGES = ("ingest", "embeddings", "retrieval", "distances, bins, parquet", "export")
BOTTLENECKS = {"idle": "too few jobs", "cores": "cores", "disk": "shared disk", "network": "network"}
MONTH = 30
Outcomes = Mapping[int, Outcome]


def renew_page(page: Path = PAGE) -> None:
    """Simulate both plans and write tables and plots."""
    costs = load_costs()
    dqn = {workers: dqn_outcome(costs, workers) for workers in DQN_WORKERS}
    whole, divided = ({n: jat_outcome(costs, n, each) for n in JAT_WORKERS} for each in (False, True))
    tables = quick_tables(costs) | {
        "dqn": outcome_table(dqn),
        "jat": outcome_table(whole),
        "jat-divided": outcome_table(divided),
    }
    text = page.read_text()
    for name, table in tables.items():
        text = with_table(text, name, table)
    page.write_text(text)
    PLOTS["dqn"].write_text(drawn("The whole DQN Replay Dataset", {"ingest, joined": _points(dqn)}))
    PLOTS["jat"].write_text(
        drawn("1,000 times JAT", {"157 datasets": _points(whole), "157,000 datasets": _points(divided)})
    )


def quick_tables(costs: Costs) -> dict[str, str]:
    """The tables that need no simulation, by the names of their places in the page."""
    makers: dict[str, Callable[[Costs], str]] = {
        "units": unit_table,
        "dqn-sizes": _dqn_sizes,
        "dqn-buy": _dqn_saturation,
        "jat-stages": _jat_stages,
        "jat-sizes": _jat_sizes,
        "jat-pools": _jat_pools,
        "check": lambda _: check_table(load_records(CHECK)),
        "recall": lambda _: recall_table(load_records(RECALL)),
    }
    return {name: make(costs) for name, make in makers.items()}


def with_table(text: str, name: str, table: str) -> str:
    """The page with a table between its marks `<!-- name -->` and `<!-- end -->`. Raises ValueError without marks."""
    before, mark, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (mark and end):
        raise ValueError(f"The page has no place <!-- {name} --> ... <!-- end -->.")
    return f"{before}{mark}{table}\n{end}{after}"


def table_of(text: str, name: str) -> str:
    """What stands there now."""
    return text.partition(f"<!-- {name} -->\n")[2].partition("\n<!-- end -->")[0]


def unit_table(costs: Costs) -> str:
    head = f"{costs.machine}, {costs.date}, {costs.commit}; other programs took {costs.others:.2f} cores meanwhile.\n\n"
    return head + _table(["unit", "cost"], [[what, _unit(name, costs[name])] for name, what in UNITS.items()])


def outcome_table(outcomes: Outcomes) -> str:
    """Workers, time, what bounds them, and what their time goes into, in per cent."""
    rows = []
    for workers, found in outcomes.items():
        shares = [f"{found.share(name):.0%}" for name in SHARES]
        bound = BOTTLENECKS.get(found.bottleneck, found.bottleneck)
        rows.append([f"{workers:,}", duration(found.wall_s), bound, *shares, f"{found.failures:,}"])
    return _table(["cores", "time", "bound by", *(name.replace("idle", "no work") for name in SHARES), "failed"], rows)


def check_table(records: Mapping[str, Any]) -> str:
    """Predicted and measured seconds of the real run, and of its two commands together."""
    rows = []
    for row in with_totals(records["rows"]):
        told, real = row["predicted_s"], row["measured_s"]
        rows.append([str(row["workers"]), row["what"], f"{told:.1f}", f"{real:.1f}", f"{told / real - 1:+.1%}"])
    return _dated(records, _table(["workers", "command", "predicted s", "measured s", "prediction is off by"], rows))


def with_totals(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a check, with the sum of each number of workers behind its commands."""
    found: list[Mapping[str, Any]] = []
    for workers in sorted({row["workers"] for row in rows}):
        each = [row for row in rows if row["workers"] == workers]
        sums = {name: sum(row[name] for row in each) for name in ("predicted_s", "measured_s")}
        found += [*each, {"workers": workers, "what": "together", **sums}]
    return found


def recall_table(records: Mapping[str, Any]) -> str:
    """Recall and time of each kind of search."""
    rows = [
        [
            str(row["width"]),
            f"{row['pool']:,}",
            row["search"],
            f"{row['build_s']:.2f}",
            f"{row['query_us']:.0f}",
            f"{row['recall']:.2%}",
        ]
        for row in records["rows"]
    ]
    return _dated(records, _table(["numbers", "pool", "search", "build s", "µs a query", "recall of 20"], rows))


def duration(seconds: float) -> str:
    """As a reader takes it in.

    >>> duration(90), duration(7200), duration(4 * 86400), duration(1e9)
    ('1.5 min', '2.0 h', '4.0 d', '31.7 years')
    """
    for unit, size in (("years", 365.25 * DAY), ("d", DAY), ("h", HOUR), ("min", 60.0)):
        if seconds >= size and (unit != "d" or seconds >= 2 * DAY):
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes.

    >>> size(4.071e12), size(1.2e15)
    ('4.1 TB', '1.2 PB')
    """
    for unit, each in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= each:
            return f"{count / each:,.1f} {unit}"
    return f"{count:,.0f} B"


def _dqn_sizes(costs: Costs) -> str:
    return _table(["of the whole", "bytes"], [[name, size(count)] for name, count in dqn_sizes(costs).items()])


def _dqn_saturation(costs: Costs) -> str:
    """How much of what is shared one core wants, and how many cores take all of it."""
    rows = []
    for name, wanted, given, cores in saturated(costs):
        rows.append([name, f"{wanted / 1e6:,.0f} MB/s", f"{given / 1e9:g} GB/s", f"{cores:,.0f}"])
    return _table(["shared", "a core wants", "assumed", "full with so many cores"], rows)


def _jat_stages(costs: Costs) -> str:
    parts = [JatCosts(part, costs) for part in JAT]
    rows = []
    for stage in STAGES:
        hours = [each.stages[stage].core_s / HOUR if stage in each.stages else 0.0 for each in parts]
        cores = sum(hours) * max(1.0, costs["crowded_network"]) * HOUR / (MONTH * DAY)
        told = [f"{each:,.0f}" if each else "" for each in hours]
        rows.append([stage, *told, f"{sum(hours):,.0f}", f"{cores:,.0f}"])
    return _table(["core-hours", *(part.domain for part in JAT), "all", f"cores for {MONTH} days"], rows)


def _jat_sizes(costs: Costs) -> str:
    parts = [JatCosts(part, costs) for part in JAT]
    rows = [
        ["steps", *(f"{each.steps / 1e9:,.1f} G" for each in parts)],
        ["JAT's files", *(size(each.stages["ingest"].read) for each in parts)],
        ["stored episodes", *(size(each.stages["retrieval"].disk) for each in parts)],
        [
            "neighbours, distances, bins, parquet",
            *(size(each.stages["distances, bins, parquet"].disk - each.stages["retrieval"].disk) for each in parts),
        ],
    ]
    return _table(["1,000 times", *(part.domain for part in JAT)], rows)


def _jat_pools(costs: Costs) -> str:
    rows = []
    for pools in (1, 10, 100, 1000):
        parts = [JatCosts(part, costs, pools) for part in JAT]
        hours = [each.stages["retrieval"].core_s / HOUR for each in parts]
        rows.append([f"{pools:,}", *(f"{each:,.0f}" for each in hours), f"{core_hours(parts, 'retrieval'):,.0f}"])
    return _table(["pools larger by", *(f"{part.domain}, core-hours" for part in JAT), "all"], rows)


def _points(outcomes: Outcomes) -> list[tuple[int, float, str]]:
    return [(n, found.wall_s / DAY, BOTTLENECKS.get(found.bottleneck, "")) for n, found in outcomes.items()]


def _dated(records: Mapping[str, Any], table: str) -> str:
    if "date" not in records:
        return "Not measured yet."
    when = f"{records['machine']}, {records['date']}, {records['commit']}"
    return f"{when}; other programs took {records['others']:.2f} cores meanwhile.\n\n{table}"


def _unit(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return f"{value:,.0f} bytes"
    if name.startswith("crowded"):
        return f"{value:.2f}"
    for unit, each in (("s", 0.1), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= each or value == 0:
            return f"{value / {'s': 1, 'ms': 1e-3, 'µs': 1e-6}[unit]:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
