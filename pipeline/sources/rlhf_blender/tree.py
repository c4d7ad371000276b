"""Which checkpoints a tree of RLHF-Blender holds, and the one that is meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from pipeline.command import again
from pipeline.errors import InvalidInput, unknown_name
from pipeline.sources.files import local_path
from pipeline.sources.rlhf_blender.names import (
    DATA,
    EPISODES,
    EXPERIMENT,
    LEFT_OVER,
    PROVENANCE,
    CheckpointName,
    episode_file_name,
    episode_number,
    is_environment_of,
)
from pipeline.sources.rlhf_blender.own import OwnFacts, read_own_facts
from pipeline.sources.rlhf_blender.registry import RegisteredNames, read_registered
from pipeline.wording import number_ranges, slug

WANTED = "RLHF-Blender's folder data, the one above it, or a folder below data/episodes with benchmark_0.npz in it"

LISTED = 8
"""Checkpoints that an error lists."""


@dataclass(frozen=True)
class CheckpointFolder:
    """The episodes of one checkpoint of one experiment.

    Attributes:
        root: what the folders of all kinds lie in; None for a folder of episodes that lies in no tree.
        place: the folder below that of each kind; that of the episodes itself where there is no `root`.
        name: what its path says.
        documented: files are named as in the manual.
        numbers: of the episodes, from 0.
        others: files beside the episodes that are none.
        registry: what is registered of the experiments of its tree.
    """

    root: Path | None
    place: PurePosixPath
    name: CheckpointName
    documented: bool
    numbers: Sequence[int]
    others: int
    registry: RegisteredNames = field(repr=False)

    @property
    def episodes(self) -> Path:
        """The folder of the episodes."""
        return Path(self.place) if self.root is None else self.root / EPISODES / self.place

    @property
    def experiment_name(self) -> str:
        """What the experiment is called, by the registry or by the manual's folder; empty where nobody says so."""
        known = self.registry.experiments.get(-1 if self.name.experiment is None else self.name.experiment)
        return known.name if known else self.name.folder

    @cached_property
    def own(self) -> OwnFacts | None:
        """What an export of ours says of itself. Raises InvalidInput where that file is damaged."""
        if self.root is None:
            return None
        if self.place == PurePosixPath("."):
            return read_own_facts(self.root / EXPERIMENT)
        return read_own_facts(self.root / PROVENANCE / self.place / EXPERIMENT)

    @property
    def environment(self) -> str:
        """The id of the environment, as folders spell it; empty where nobody says it."""
        if not self.name.environment and self.own:
            return self.own.environment
        return self.name.environment

    @property
    def label(self) -> str:
        """`experiment 3 (Mine), checkpoint -1 of CartPole-v1`."""
        number = "" if self.name.experiment is None else f" {self.name.experiment}"
        name = f" ({self.experiment_name})" if self.experiment_name else ""
        environment = f" of {self.environment}" if self.environment else ""
        return f"experiment{number}{name}, checkpoint {self.name.checkpoint}{environment}"

    @property
    def left_over(self) -> int:
        """Files of whole runs that RLHF-Blender would have removed when it had split them."""
        folder = None if self.root is None else self.root / LEFT_OVER
        return sum(name.endswith(".npz") for _, _, names in os.walk(folder) for name in names) if folder else 0

    def episode(self, number: int) -> Path:
        """The file of an episode."""
        return self.episodes / episode_file_name(EPISODES, number, self.documented)

    def file(self, kind: str, number: int) -> Path | None:
        """Another file of an episode; None where the folder of episodes is all there is."""
        if self.root is None:
            return None
        return self.root / kind / self.place / episode_file_name(kind, number, self.documented)


@dataclass(frozen=True)
class CheckpointChoice:
    """Which checkpoint is meant, where a tree has several.

    Attributes:
        environment: the id of its environment; None: that of the task.
        experiment: name or number; None: the only one.
        checkpoint: None: the only one.
    """

    environment: str | None = None
    experiment: str | None = None
    checkpoint: str | None = None


def chosen_folder(
    path: str, domain: str, task: str, choice: CheckpointChoice, cache: str | None = None
) -> CheckpointFolder:
    """The checkpoint of a task that is meant. Raises InvalidInput where there is none, or more than one."""
    place = local_path(path, WANTED, cache)
    if not place.is_dir():
        raise InvalidInput(f"source.path={path} is a file. Wanted: {WANTED}.")
    there = _folders(place)
    if not there:
        raise InvalidInput(
            f"source.path={path} holds no episodes: no benchmark_0.npz lies below a folder episodes. Wanted: {WANTED}."
        )
    return _only(path, _of_choice(path, _of_environment(path, there, domain, task, choice), choice))


def _of_environment(
    path: str, there: list[CheckpointFolder], domain: str, task: str, choice: CheckpointChoice
) -> list[CheckpointFolder]:
    if choice.environment is not None:
        wanted = slug(choice.environment)
        found = [each for each in there if slug(each.environment) == wanted]
        if not found:
            raise unknown_name(
                f"environment in {path}", choice.environment, {each.environment for each in there} - {""}
            )
        return found
    found = [each for each in there if is_environment_of(domain, task, each.environment)]
    if not found and len(there) == 1 and not there[0].environment:
        return there  # nobody says of what it is
    if not found:
        names = {_task_name(domain, each.environment) for each in there} - {""}
        hint = "Another one is chosen by its id: source.environment=ID."
        raise unknown_name(f"environment in {path} for {domain} task", task, names, hint)
    return found


def _task_name(domain: str, environment: str) -> str:
    """The task's name of an environment in the domain `gym`; in others, where it begins with the domain, without it."""
    return slug(environment).removeprefix(f"{domain}-")


def _of_choice(path: str, there: list[CheckpointFolder], choice: CheckpointChoice) -> list[CheckpointFolder]:
    asked: list[tuple[str, str | None, Callable[[CheckpointFolder], set[str]]]] = [
        ("experiment", choice.experiment, _experiment_names),
        ("checkpoint", choice.checkpoint, lambda each: {each.name.checkpoint}),
    ]
    for kind, wanted, names in asked:
        if wanted is not None:
            found = [each for each in there if wanted in names(each)]
            if not found:
                raise unknown_name(f"{kind} in {path}", wanted, {name for each in there for name in names(each)})
            there = found
    return there


def _experiment_names(folder: CheckpointFolder) -> set[str]:
    number = set() if folder.name.experiment is None else {str(folder.name.experiment)}
    return (number | {folder.experiment_name, folder.name.folder}) - {""}


def _only(path: str, there: list[CheckpointFolder]) -> CheckpointFolder:
    if len(there) == 1:
        _require_all_numbers(there[0])
        return there[0]
    first = there[0]
    checkpoint = first.name.checkpoint if first.name.experiment is None else int(first.name.checkpoint)
    named = {"environment": first.environment, "experiment": _name_of(first, there), "checkpoint": checkpoint}
    alike = {
        "environment": len({each.environment for each in there}) == 1,
        "experiment": len({_name_of(each, there) for each in there}) == 1,
    }
    needed = [name for name in named if not alike.get(name)]
    command = again(**{f"source__{name}": named[name] for name in needed})
    listed = [f"  {each.label}: {number_ranges(each.numbers)}" for each in there[:LISTED]]
    more = [f"  and {len(there) - LISTED} more"] if len(there) > LISTED else []
    lines = "\n".join([*listed, *more])
    raise InvalidInput(
        f"{path} holds several checkpoints, with these episodes:\n{lines}\nEach is a dataset of its own. The first of "
        f"them: {command}"
    )


def _name_of(folder: CheckpointFolder, there: list[CheckpointFolder]) -> str | int:
    """By what an experiment is told from the others: its name, or its number where two have that name."""
    number = folder.name.experiment
    same = {each.name.experiment for each in there if each.experiment_name == folder.experiment_name}
    return folder.experiment_name if number is None or (folder.experiment_name and len(same) == 1) else number


def _require_all_numbers(folder: CheckpointFolder) -> None:
    missing = next((number for number, there in enumerate(folder.numbers) if number != there), None)
    if missing is not None:
        raise InvalidInput(
            f"{folder.episodes} lacks {episode_file_name(EPISODES, missing, folder.documented)}: it has the episodes "
            f"{number_ranges(folder.numbers)}, and they are numbered from 0 without a gap. Copy the folder again."
        )


def _folders(place: Path) -> list[CheckpointFolder]:
    """All checkpoints at or below a path, by their paths."""
    for inside in (place / DATA, place):
        if (inside / EPISODES).is_dir():
            registry = read_registered(inside.parent)
            return [found for at in _below(inside / EPISODES) if (found := _folder(inside, at, registry))]
    if root := _root_above(place):
        registry = read_registered(root.parent)
        return [found for at in _below(place) if (found := _folder(root, at, registry))]
    return [found for at in [place] if (found := _folder(None, at, RegisteredNames()))]


def _below(place: Path) -> Iterator[Path]:
    """The folders at and below a path, those whose names begin with a dot left out."""
    for current, folders, _ in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(current)


def _root_above(place: Path) -> Path | None:
    """The folder of a tree in which a folder of episodes lies."""
    whole = place.absolute()
    above = [each for each in (whole, *whole.parents) if each.name == EPISODES]
    return above[0].parent if above else None


def _folder(root: Path | None, at: Path, registry: RegisteredNames) -> CheckpointFolder | None:
    names = [
        each.name for each in os.scandir(at) if not each.name.startswith(".") and not each.is_dir(follow_symlinks=False)
    ]
    found = [known for known in map(episode_number, names) if known]
    if not found:
        return None
    documented = not any(is_backend for is_backend, _ in found)
    numbers = sorted(number for is_backend, number in found if is_backend != documented)
    inside = PurePosixPath(at.absolute()) if root is None else _relative(at, root / EPISODES)
    name = CheckpointName.of(PurePosixPath(at.absolute().name) if root is None else inside)
    return CheckpointFolder(root, inside, name, documented, numbers, len(names) - len(numbers), registry)


def _relative(at: Path, above: Path) -> PurePosixPath:
    return PurePosixPath(at.absolute().relative_to(above.absolute()).as_posix())
