"""What REGENT made of JAT: the table against the published totals, and our rules against the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from pipeline.regent.counts import SEEN_STATES, TRAINING_ITEMS, expected, published
from pipeline.regent.pools import choose
from pipeline.regent.rows import RowLayout
from pipeline.views.contexts import split

CONF = Path(__file__).parents[3] / "conf" / "domain"


def of(domain, unseen):
    """The counts of a domain's tasks, by task."""
    return {task: each for (name, task), each in published().items() if name == domain and each.unseen == unseen}


def test_tasks_are_those_of_the_domains_and_the_held_out_ones_are_unseen():
    counted = {"atari": (52, 5), "babyai": (39, 0), "metaworld": (45, 5), "mujoco": (9, 2)}
    for domain, (seen, unseen) in counted.items():
        shipped = yaml.safe_load((CONF / f"{domain}.yaml").read_text())
        assert (len(of(domain, unseen=False)), len(of(domain, unseen=True))) == (seen, unseen)
        assert set(of(domain, unseen=True)) == set(shipped.get("unseen", []))
        assert set(of(domain, unseen=False)) <= set(shipped["tasks"])
    assert expected("toy", "grid") is None
    assert expected("atari", "airraid") is None


def test_states_of_the_seen_tasks_add_up_to_the_published_total():
    assert sum(SEEN_STATES.values()) == 14_513_480
    for domain in ("babyai", "metaworld", "mujoco"):
        assert sum(counts.states for counts in of(domain, unseen=False).values()) == SEEN_STATES[domain]
    assert sum(counts.rows for counts in of("babyai", unseen=False).values()) == 342_703


def test_row_counts_are_the_smallest_that_can_hold_100000_states():
    for domain, width in (("atari", 32), ("mujoco", 256), ("metaworld", 256)):
        for task, counts in of(domain, unseen=False).items():
            assert counts.rows * width >= 100_000, task
            assert counts.states is None or 100_000 <= counts.states < 100_000 + width, task
    games = len(of("atari", unseen=False))
    assert games * 100_000 <= SEEN_STATES["atari"] < games * 100_032
    assert all(counts.states >= 100_000 for counts in of("babyai", unseen=False).values())


def test_pools_of_held_out_games_are_cut_to_200_rows_a_demonstration_in_total():
    assert max(counts.rows for counts in of("atari", unseen=True).values()) == 5 * 200
    for task in ("spaceinvaders", "stargunner"):
        lengths = np.full(5, 32 * 400)
        choice = choose(RowLayout(lengths, 32), 5, 100_000, unseen=True, rows_per_demo=200)
        assert len(choice.rows) == expected("atari", task).rows


def training(states):
    return len(split(states, unseen=False)[0])


def test_what_is_left_for_training_are_the_steps_of_the_published_checkpoint():
    known = [counts.states for counts in published().values() if counts.states is not None and not counts.unseen]
    assert training(100_000) == training(100_031)  # so it does not matter how many states a game has
    items = sum(map(training, known)) + len(of("atari", unseen=False)) * training(100_000)
    assert items == TRAINING_ITEMS
    assert divmod(items, 512) == (27_726, 0)
