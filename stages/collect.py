"""Collect episodes: environment + policy → a dataset, in worker processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from beartype import beartype

from pipeline.artifacts.artifact import EPISODES, Artifact, Spec
from pipeline.artifacts.pieces import PICTURES, pieces_line, shard_numbers, shards_word
from pipeline.campaign.stage import PiecesMade, StageFacts
from pipeline.command import again
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, found_dataset, grow
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.repeats import repeated_episodes, repeats_sentence
from pipeline.dataset.sharded import dataset_pieces
from pipeline.dataset.spill import SPILL, remove_torn, spilled_episodes
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput, TaskFailed
from pipeline.interfaces import Environment, Policy, Telling
from pipeline.machine.progress import progress
from pipeline.machine.threads import available_cores
from pipeline.policies.mixed import Mixed
from pipeline.policies.outputs import no_outputs
from pipeline.rollout.frames import frames_of, keep_lockstep
from pipeline.rollout.workers import EpisodeJob, WorkerPool

log = logging.getLogger(__name__)


@beartype
def foresee(
    *,
    dataset: str,
    episodes: int | None,
    states: int | None,
    frames: int | None,
    seed: int,
    workers: int | None,
    shards: str | int | None = None,
    force: bool = False,
) -> None:
    """Raises InvalidInput for settings with which no task can be collected."""
    check_dataset_name(dataset)
    Amount(episodes, states)
    _budget(frames, episodes)
    if shard_numbers("collect", shards, force) is not None and states is not None:
        raise InvalidInput(
            f"states={states} asks for as many episodes as it takes, and stage.collect.shards={shards} for some of a "
            f"number that is known: say episodes=N in place of states."
        )
    if seed < 0:
        raise InvalidInput(f"seed={seed} must not be negative.")


FACTS = StageFacts(begins=True, foresee=foresee)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    policy: Callable[[], Policy],
    randomness: float,
    outputs: bool,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    states: int | None,
    frames: int | None,
    render: bool,
    seed: int,
    workers: int | None,
    force: bool,
    shards: str | int | None = None,
) -> Artifact | PiecesMade:
    """The dataset `dataset` of one task, grown to `episodes` or to at least `states`.

    `frames` ends each of the `episodes` after its share, frames // episodes, of decisions. `render` keeps a picture of
    every row, too, as stage=frames would draw them later. `randomness` mixes uniformly random actions in.
    `outputs`: the policy tells the entropy and the value of each decision, which become infos. `shards`, such as
    `0-99`, plays only these of the `episodes`, for a call without it that joins them.

    An episode depends on (seed, domain, task, its index), the environment and the policy only; so the digest is the
    same for every number of workers and after every kill.
    """
    foresee(
        dataset=dataset, episodes=episodes, states=states, frames=frames, seed=seed, workers=workers, shards=shards,
        force=force,
    )  # fmt: skip
    limit = _budget(frames, episodes)
    if outputs and not isinstance(silent := policy(), Telling):
        raise no_outputs(f"policy={silent.name}")
    environment = partial(domain.environment, task=task)
    player = partial(_mixed, policy, randomness) if randomness else policy
    parameters = {"seed": seed, **_identity(environment, player)} | ({"budget": limit} if limit else {})
    spec = Spec(domain.name, task, EPISODES, EPISODES_FORMAT, parameters, name=dataset)
    amount = Amount(domain.episodes if episodes is None and states is None else episodes, states)
    cores = workers or available_cores()

    def job_in(folder: Path) -> EpisodeJob:
        pictures = folder / PICTURES
        if render:
            pictures.mkdir(exist_ok=True)
        return EpisodeJob(
            environment, player, domain.name, task, seed, folder / SPILL, limit, pictures if render else None
        )

    numbers = shard_numbers("collect", shards, force)
    if numbers is not None:
        assert amount.episodes is not None
        _require_among(shards, numbers, amount.episodes, spec)
        found = found_dataset(workspace, spec, amount)
        return found or _play_some(workspace, spec, amount.episodes, numbers, job_in, cores)

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        folder = writer.spill.parent
        notes = _fill(writer, amount, job_in(folder), cores)
        if (pictures := folder / PICTURES).exists():
            keep_lockstep(pictures, workspace, domain.name, task, spec.version + workspace.storage.suffix)
        return Noticed([*writer.notes, *notes])

    made = grow(workspace, spec, amount, fill, force)
    if made.built and (repeats := repeated_episodes(EpisodeDataset.of(made))):
        log.warning("%s %s: %s", spec.label, spec.name, repeats_sentence(repeats))
    if render:
        pictures = frames_of(made, environment, workspace, cores, force)
        log.info("frames %s are %s (%s pictures)", spec.label, pictures.path, f"{pictures.manifest.counts['frames']:,}")
    return made


def _budget(frames: int | None, episodes: int | None) -> int | None:
    """Decisions of one episode."""
    if frames is None:
        return None
    if episodes is None:
        raise InvalidInput(f"frames={frames} is shared out among episodes: say how many: {again(episodes=3)}")
    if frames < max(1, episodes):
        raise InvalidInput(
            f"frames={frames} is not enough for episodes={episodes}: each needs at least one decision.\n"
            f"One for each: {again(frames=episodes)}"
        )
    return frames // episodes


def _mixed(policy: Callable[[], Policy], randomness: float) -> Policy:
    return Mixed(policy(), randomness)


def _identity(environment: Callable[[], Environment], policy: Callable[[], Policy]) -> dict[str, object]:
    simulator = environment()
    try:
        return {"environment": dict(simulator.identity()), "policy": dict(policy().identity())}
    finally:
        simulator.close()


def _require_among(shards: str | int | None, numbers: range, episodes: int, spec: Spec) -> None:
    if numbers.stop > episodes:
        last = shards_word(min(numbers.start, episodes - 1), episodes - 1)
        raise InvalidInput(
            f"stage.collect.shards={shards} asks for more than the episodes 0-{episodes - 1} "
            f"of {spec.version}.\nMore episodes, here and in the command that joins them: "
            f"{again(episodes=numbers.stop)}\nOr the last of them: {again(stage__collect__shards=last)}"
        )


def _play_some(
    workspace: Workspace,
    spec: Spec,
    episodes: int,
    numbers: range,
    job_in: Callable[[Path], EpisodeJob],
    workers: int,
) -> PiecesMade:
    """Play some of the episodes, and leave them for the job that joins all."""
    with dataset_pieces(workspace, spec, numbers, "collect") as pieces:
        remove_torn(pieces.spill, numbers)
        missing = set(numbers[max(0, pieces.before.episodes - numbers.start) :]) - spilled_episodes(pieces.spill)
        if missing:
            job, first, end = job_in(pieces.path), min(missing), max(missing) + 1
            notes: set[str] = set()
            with (
                progress("collect", spec.label, "episodes", len(numbers), len(numbers) - len(missing)) as advance,
                WorkerPool(job, first, end, workers) as pool,
            ):
                pool.packed(end)  # they wait for nobody
                for finished in pool:
                    advance(len(finished.lengths))
                    if not notes.issuperset(finished.notes):
                        notes |= set(finished.notes)
                        pieces.note(notes)
        there = spilled_episodes(pieces.spill) | {*range(pieces.before.episodes)}
    return PiecesMade(pieces_line("collect", spec, "episodes", range(episodes), there))


def _fill(writer: DatasetWriter, amount: Amount, job: EpisodeJob, workers: int) -> list[str]:
    """Append episodes until the amount is met; returns which infos are not stored, and why."""

    def take() -> bool:
        while not amount.met(writer.size):
            if not writer.append_spilled(amount):
                return False
        return True

    if take():
        return []
    notes: set[str] = set()
    by_episode = amount.episodes is not None
    total, done = (amount.episodes, writer.count) if by_episode else (amount.states, writer.size.states)
    with (
        progress("collect", f"{job.domain}/{job.task}", "episodes" if by_episode else "states", total, done) as advance,
        WorkerPool(job, writer.count, amount.episodes, workers) as pool,
    ):
        for finished in pool:
            advance(len(finished.lengths) if by_episode else sum(finished.lengths))
            notes |= set(finished.notes)
            if take():
                break
            pool.packed(writer.count)
    if not amount.met(writer.size):
        raise TaskFailed(f"The workers of {job.domain}/{job.task} stopped early. Run the same command again.")
    return sorted(notes)
