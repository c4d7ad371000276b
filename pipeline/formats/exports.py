"""What is exported: the datasets of some tasks, in a form, and the artifact that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact, Parent, Spec
from pipeline.artifacts.exported import EXPORT, TASKS
from pipeline.command import Command, again, override
from pipeline.dataset.prefix import covering, episodes_parent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.formats.absent import FinalObservation, filled
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import CannotHold, Format, Outgoing
from pipeline.formats.held import HeldDigest
from pipeline.formats.provenance import provenance
from pipeline.frames.store import FRAMES, Frames
from pipeline.sources.absent import unfilled
from pipeline.wording import few, how_many

EXPORT_FORMAT = 1


@dataclass(frozen=True)
class Export:
    """The tasks, the form, the identity of the artifact, and what of the datasets the form does not hold."""

    data: Sequence[Outgoing]
    format: Format
    spec: Spec
    lost: Sequence[Aspect]

    @property
    def label(self) -> str:
        """`metaworld/assembly`, or `metaworld` for several tasks in one."""
        return self.spec.label.removesuffix(f"/{ALL_TASKS}")

    @property
    def place(self) -> PurePosixPath:
        return self.format.place(self.data)


def export_of(
    domain: Domain,
    names: Sequence[str],
    workspace: Workspace,
    asked: tuple[str, int | None],
    format: Format,
    final_observation: str | None,
) -> Export:
    """The export of some tasks' datasets. `asked` are the name of the dataset, and how many episodes of it.

    Raises ArtifactNotFound for a dataset that is not there, or frames that the form shows; CannotHold where the form
    cannot hold one at all; and InvalidInput where zeros would be taken for a last observation.
    """
    rule = FinalObservation(final_observation) if final_observation else None
    settings = {"format": format.name, **format.identity()} | ({"final_observation": str(rule)} if rule else {})
    data, datasets, drawn = [], list[Parent](), list[Parent]()
    for name in names:
        artifact = workspace.dataset(domain.name, name, *asked)
        episodes = EpisodeDataset.of(artifact)
        frames = _frames(artifact, len(episodes), format, workspace)
        data.append(
            Outgoing(
                domain.name,
                name,
                episodes,
                provenance(artifact, episodes, settings),
                rule,
                Frames(frames) if frames else None,
                environment=partial(domain.environment, task=name),
            )
        )
        datasets.append(episodes_parent(artifact, episodes, len(episodes)))
        drawn += [frames.as_parent()] if frames else []
        _require_rule(format, data[-1])
    format.require(data)
    losses = [list(format.lost(each)) for each in data]
    data = [replace(each, held=held_digest(format, each, bool(lost))) for each, lost in zip(data, losses, strict=True)]
    label = names[0] if len(names) == 1 and not format.joins else ALL_TASKS
    parameters = settings | ({TASKS: list(names)} if format.joins else {})
    spec = Spec(domain.name, label, EXPORT, EXPORT_FORMAT, parameters, (*datasets, *drawn))
    return Export(data, format, spec, [aspect for aspect in Aspect if any(aspect in lost for lost in losses)])


def held_digest(format: Format, data: Outgoing, loses: bool) -> HeldDigest:
    """What the digest of the episodes is found by; where nothing is lost, it is that of the dataset."""
    dataset, rule, held = data.dataset, data.final_observation, format.held(data)
    dropped = ~dataset.per_episode("has_final_observation") & (rule is FinalObservation.DROP)
    changed = np.ones_like(dropped) if loses else dropped
    return HeldDigest(
        dataset, lambda episode: unfilled(held(episode)), changed, lambda number: filled(dataset[number], rule)
    )


def require_export(export: Export, workspace: Workspace) -> Artifact:
    """The export, which was made before.

    Raises ArtifactNotFound where it was not: with the command that makes it, and in what others of this form differ.
    """
    try:
        return workspace.require(export.spec, EXPORT)
    except ArtifactNotFound as error:
        spec = export.spec
        there = [
            each
            for each in workspace.of_kind(spec.domain, spec.task, EXPORT)
            if each.manifest.parameters.get("format") == export.format.name
        ]
        differing = [_differences(each.manifest.parameters, spec.parameters) for each in there]
        listed = dict.fromkeys(", ".join(each) or "made of other episodes" for each in differing)
        others = f" There are others of the form {export.format.name}: {few(list(listed))}." if there else ""
        instead = ""
        if tasks := next(filter(None, (_tasks_instead(each, spec) for each in there)), None):
            instead = f"Or take the tasks of one that is there, in their order: {again(task=tasks)}"
        raise ArtifactNotFound(
            f"There is no export of {export.label} for these settings.{others}", error.command, instead
        ) from error


def _tasks_instead(there: Artifact, asked: Spec) -> list[str] | None:
    """The tasks of an export of such datasets, where it differs from the one that is asked for in them alone."""
    of_them = {(each.version, each.digest) for each in there.parents} & {
        (each.version, each.digest) for each in asked.parents
    }
    same = {**there.manifest.parameters, TASKS: ()} == {**asked.parameters, TASKS: ()}
    tasks: list[str] | None = there.manifest.parameters.get(TASKS)
    return tasks if of_them and same and tasks != asked.parameters.get(TASKS) else None


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """In what the parameters of an export differ from those that are asked for."""
    names = [name for name in {**asked, **there} if there.get(name) != asked.get(name)]
    return [override("task" if name == TASKS else name, there.get(name)) for name in names]


def _frames(dataset: Artifact, episodes: int, format: Format, workspace: Workspace) -> Artifact | None:
    """The pictures of a dataset's episodes, for a form that shows them, or takes those that are there.

    Raises ArtifactNotFound where the form shows them and nobody has drawn them, CannotHold where no simulator can.
    """
    if not (format.shows_frames or format.takes_frames):
        return None
    frames = covering(workspace, dataset, FRAMES)
    if frames and (frames.parent(EPISODES).episodes or 0) >= episodes:
        return frames
    if not format.shows_frames:
        return None
    label, name = f"{dataset.domain}/{dataset.task}", dataset.manifest.version
    if "environment" not in dataset.manifest.parameters and not dataset.is_derived:
        raise CannotHold(
            f"format={format.name} shows pictures of the simulator, and {name} of {label} was not made by one of this "
            f"project, so there are none.\nWrite its arrays: {again(format='kabuki', **{'format.out': None})}"
        )
    have = f"only of its first {how_many(frames.parent(EPISODES).episodes or 0, 'episodes')}" if frames else "none"
    raise ArtifactNotFound(
        f"format={format.name} shows pictures, and of {name} of {label} there are {have}.",
        Command("frames", dataset.task, f"domain={dataset.domain}", {"dataset": name, "episodes": dataset.episodes}),
    )


def _require_rule(format: Format, data: Outgoing) -> None:
    """Raises InvalidInput where zeros would be taken for a last observation, or nothing is left of an episode."""
    absent = ~data.dataset.per_episode("has_final_observation")
    alone = int((absent & (data.dataset.lengths < 2)).sum())
    if alone and data.final_observation == FinalObservation.DROP:
        raise InvalidInput(
            f"Nothing would be left of {how_many(alone, 'episodes')} of {data.dataset.name}, of one step and without a "
            f"last observation. Repeat the observation before it: "
            f"{again(format__final_observation=str(FinalObservation.REPEAT))}"
        )
    if Aspect.FINAL_OBSERVATION not in format.holds or format.marks_absence or data.final_observation:
        return
    if missing := int(absent.sum()):
        commands = "\n".join(f"  {again(format__final_observation=str(rule))}" for rule in FinalObservation)
        raise InvalidInput(
            f"{how_many(missing, 'episodes')} of {data.dataset.name} have no last observation, for their source had "
            f"none, and {format.name} cannot say so. Say what stands for it: the last step is left out (drop), the "
            f"observation before it is repeated, or zeros:\n{commands}"
        )
