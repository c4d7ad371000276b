"""Collect episodes: environment + policy → a dataset, in worker processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

from beartype import beartype

from pipeline.artifact import Artifact, Spec
from pipeline.collection import EPISODES_FORMAT, Target, grow, missing_episodes
from pipeline.domain import Domain
from pipeline.errors import InvalidInput, TaskFailed
from pipeline.interfaces import Environment, Policy
from pipeline.progress import progress
from pipeline.recorder import DatasetWriter
from pipeline.threads import available_cores
from pipeline.workers import EpisodeJob, collect_episodes
from pipeline.workspace import EPISODES, Workspace, check_dataset_name


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    policy: Callable[[], Policy],
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    states: int | None,
    seed: int,
    workers: int | None,
    force: bool,
) -> Artifact:
    """The dataset `dataset` of one task, grown to `episodes` or to at least `states`.

    An episode depends on (seed, domain, task, its index), the environment and the policy only; so the digest is the
    same for every number of workers and after every kill.
    """
    if seed < 0:
        raise InvalidInput(f"seed={seed} must not be negative.")
    environment = partial(domain.environment, task=task)
    identity = _identity(environment, policy)
    spec = Spec(
        domain.name,
        task,
        EPISODES,
        EPISODES_FORMAT,
        {"seed": seed, **identity},
        name=check_dataset_name(dataset),
    )
    target = Target(domain.episodes if episodes is None and states is None else episodes, states)

    def fill(writer: DatasetWriter, target: Target) -> list[str]:
        job = EpisodeJob(environment, policy, domain.name, task, seed, writer.spill)
        _fill(writer, target, job, workers or available_cores())
        return []

    return grow(workspace, spec, target, fill, force)


def _identity(environment: Callable[[], Environment], policy: Callable[[], Policy]) -> dict[str, object]:
    simulator = environment()
    try:
        return {"environment": dict(simulator.identity()), "policy": dict(policy().identity())}
    finally:
        simulator.close()


def _fill(writer: DatasetWriter, target: Target, job: EpisodeJob, workers: int) -> None:
    def take() -> bool:
        while not target.met(writer.count, writer.states):
            if not writer.append_spilled():
                return False
        return True

    missing = missing_episodes(writer, target)
    if take():
        return
    by_episode = target.episodes is not None
    total, done = (target.episodes, writer.count) if by_episode else (target.states, writer.states)
    with (
        progress("collect", f"{job.domain}/{job.task}", "episodes" if by_episode else "states", total, done) as advance,
        closing(collect_episodes(job, missing, workers)) as finished,
    ):
        for episode in finished:
            advance(1 if by_episode else episode.length)
            if take():
                break
    if not target.met(writer.count, writer.states):
        raise TaskFailed(f"The workers of {job.domain}/{job.task} stopped early. Run the same command again.")
