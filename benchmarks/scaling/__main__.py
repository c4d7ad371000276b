"""Renews docs/scaling.md from measured unit costs; with --measure, --check or --recall measures first.

Without an option the plans are simulated again, from benchmarks/scaling/costs.json. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.scaling.check import check
from benchmarks.scaling.costs import CHECK, RECALL, load_costs, measured_now, save_costs, save_records
from benchmarks.scaling.page import renew_page
from benchmarks.scaling.quiet import watched
from benchmarks.scaling.recall import measure_recall
from benchmarks.scaling.units import measure


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="unit costs: about five minutes")
    parser.add_argument("--check", action="store_true", help="a real sweep with 1 and 2 workers: about five minutes")
    parser.add_argument("--recall", action="store_true", help="approximate search against exact: about three minutes")
    options = parser.parse_args(words)
    if options.measure:
        save_costs(measured_now(*watched(measure)))
    if options.check:
        save_records(CHECK, *watched(lambda: check(load_costs())))
    if options.recall:
        save_records(RECALL, *watched(measure_recall))
    renew_page()


if __name__ == "__main__":
    main()
