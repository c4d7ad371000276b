"""What the tests of this folder share: reading files through the real stage, and comparing with the play."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput
from pipeline.sources.dqn_replay.source import DqnReplaySource
from stages import ingest
from tests.dqn_replay_files import FULL_ACTIONS, PADDING, ReplayRun, Wanted, played_run

TASKS = [game.lower() for game in FULL_ACTIONS]


PROPERTY: dict[str, Any] = {
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],  # runs print short; making them smaller takes minutes
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}


def domain() -> Domain:
    return Domain("atari", 27_000, 5, partial(Toy, max_steps=60), TASKS, Regent(32, 5, 20, 100))


def stored(
    root: Path | str,
    outputs: Path | Workspace,
    task: str = "pong",
    episodes: int | None = None,
    workers: int | None = 1,
    dataset: str = "dqn-replay-v1",
    **source: Any,
) -> Artifact:
    """The dataset that the real stage makes of the files below `root`."""
    place = outputs if isinstance(outputs, Workspace) else Workspace(str(outputs), "bin")
    return ingest.run(
        domain=domain(),
        task=task,
        source=DqnReplaySource(root=str(root), **source),
        workspace=place,
        dataset=dataset,
        episodes=episodes,
        states=None,
        workers=workers,
        force=False,
    )


def check(artifact: Artifact, wanted: Sequence[Wanted], game: str = "Pong") -> None:
    """Every byte of the episodes, their order, and how each of them ended."""
    episodes = list(EpisodeDataset.of(artifact))
    assert [(e.length, e.end_reason) for e in episodes] == [(len(w.actions), w.end_reason) for w in wanted]
    table = artifact.manifest.parameters["source"]["actions"]
    for episode, told in zip(episodes, wanted, strict=True):
        steps, length = episode.steps, len(told.actions)
        assert set(steps) == {"observation", "action", "reward", "discount"}
        assert (steps["observation"].dtype, steps["observation"].shape) == (np.uint8, (length + 1, 84, 84))
        assert (steps["action"].dtype, steps["action"].shape) == (np.int32, (length + 1,))
        assert (steps["reward"].dtype, steps["discount"].dtype) == (np.float64, np.float64)
        assert steps["observation"][:-1].tobytes() == told.frames.tobytes()
        assert steps["action"][:-1].tolist() == told.actions.tolist()
        assert [table[action] for action in steps["action"][:-1]] == [FULL_ACTIONS[game][a] for a in told.actions]
        assert steps["reward"][:-1].tolist() == told.rewards.tolist()
        assert steps["discount"].tolist() == [1.0] * (length - 1) + [0.0 if told.terminated else 1.0, 0.0]
        assert not any(steps[name][-1].any() for name in ("observation", "action", "reward"))
        assert (episode.terminated, episode.truncated) == (told.terminated, told.truncated)
        assert not episode.has_final_observation
        assert episode.has_final_reward
        assert (episode.seed, episode.success) == (-1, -1)


def check_reading(
    run: ReplayRun, wanted: Sequence[Wanted], cache: bool = False, game: str = "Pong", **source: Any
) -> None:
    """Write the run's files, read them with these settings, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run.write_cache(folder / "files", game) if cache else run.write_bucket(folder / "files", game)
        if wanted:
            check(stored(folder / "files", folder / "outputs", game.lower(), **source), wanted, game)
        else:
            with pytest.raises(InvalidInput, match="No episode"):
                stored(folder / "files", folder / "outputs", game.lower(), **source)


def numbers(run: ReplayRun) -> list[int]:
    return [dump.number for dump in run.dumps]


def random_lengths(seed: int, count: int, longest: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randint(1, longest) for _ in range(count)]


@st.composite
def runs(
    draw: st.DrawFn, padding: bool | None = True, black: bool = True, idle: bool = True, shortest: int = 0
) -> ReplayRun:
    """Runs of up to about five dumps; episodes may span several of them."""
    capacity = draw(st.integers(30, 45))
    long = draw(st.booleans())
    fewest, most, longest = (2, 3, 2 * capacity) if long else (4, 14, 25)
    lengths = draw(st.lists(st.integers(1, longest), min_size=fewest, max_size=most))
    padded = draw(st.booleans()) if padding is None else padding
    return played_run(
        capacity,
        [max(shortest, length) for length in lengths],
        padding=PADDING if padded else 0,
        black_starts=black and padded and draw(st.booleans()),
        black_steps=black and padded and draw(st.booleans()),
        cursor_at_the_end=draw(st.booleans()),
        unfinished=draw(st.booleans()),
        idle=idle,
        seed=draw(st.integers(0, 99)),
    )
