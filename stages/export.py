"""Export: a dataset → the form that a trainer reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.artifacts.exported import DATA, LOST, PLACE, lost_sentence
from pipeline.artifacts.remake import remake
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import ALL, Asked, tasks_for
from pipeline.command import again
from pipeline.dataset.amount import Amount
from pipeline.dataset.prefix import of_leading_episodes
from pipeline.dataset.rewards import has_rewards
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, DamagedArtifact, InvalidInput
from pipeline.formats.absent import FinalObservation
from pipeline.formats.aspects import Aspect, lost_words
from pipeline.formats.checks import wrong_export
from pipeline.formats.choice import form_list
from pipeline.formats.contract import CannotHold, Format, Outgoing
from pipeline.formats.exports import Export, export_of
from pipeline.formats.laying import place_out
from pipeline.formats.places import Out, another_place, names_file
from pipeline.frames.store import FRAMES
from pipeline.machine.files import remove_half_written
from pipeline.machine.progress import progress
from pipeline.wording import check_choice, few

log = logging.getLogger(__name__)


def per_task(*, format: Format | None) -> bool:
    """Whether each task is an output of its own."""
    return format is None or not format.joins


@beartype
def foresee(
    *, format: Format | None, dataset: str, episodes: int | None, final_observation: str | None, out: str | None
) -> None:
    """Raises InvalidInput for settings with which no task can be exported."""
    if format is None:
        raise InvalidInput(
            f"stage=export needs a format (docs/formats/README.md says what each one holds):\n{form_list()}\n"
            f"Try: {again(format='kabuki')}"
        )
    check_dataset_name(dataset)
    Amount(episodes)
    if final_observation is not None:
        check_choice("format.final_observation", final_observation, list(FinalObservation))
    if out is not None and not out.strip():
        raise InvalidInput("format.out is empty: name a file, a folder or an address, or leave it out.")


@beartype
def foresee_several(*, format: Format | None, out: str | None) -> None:
    """Raises InvalidInput for a place that holds one task alone."""
    if format is not None and out is not None and names_file(out, format.suffixes):
        folder = out.rpartition(".")[0]
        raise InvalidInput(
            f"format.out={out} is one file, and several tasks become one each. Give a folder for them: "
            f"{again(format__out=folder)}"
        )


FACTS = StageFacts(per_task=per_task, foresee=foresee, foresee_several=foresee_several)


@beartype
def run(
    *,
    domain: Domain,
    task: str | list[str] | None,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    format: Format | None,
    out: str | None,
    strict: bool,
    final_observation: str | None,
    link: bool,
    force: bool,
) -> Artifact:
    """The first `episodes` episodes in a form, in the folder `data` of the artifact; with `out` also there.

    Raises InvalidInput where the form cannot hold the dataset, loses something of it and `strict` is set, or something
    else is at `out` already.
    """
    foresee(format=format, dataset=dataset, episodes=episodes, final_observation=final_observation, out=out)
    assert format is not None
    names = [task] if isinstance(task, str) and per_task(format=format) else _tasks(domain, task, dataset, workspace)
    try:
        export = export_of(domain, names, workspace, (dataset, episodes), format, final_observation)
    except ArtifactNotFound as error:
        have = {f"{domain.name}/{name}/{dataset}" for name in names} & {*workspace}
        if task == ALL and 0 < len(have) < len(names):
            error.instead = f"Or export the tasks that have it: {again(task=None)}"
        raise
    lost = lost_sentence(lost_words(export.lost, export.format.becomes()))
    if strict and lost:
        raise CannotHold(
            f"{format.name} cannot hold all of {export.label} ({lost}). "
            f"docs/formats/README.md says which form holds what.\nExport without it: {again(format__strict=None)}"
        )
    place = None if out is None else _out(export, out, link)
    earlier = workspace.get(export.spec)
    if place is not None:
        place.require_possible(workspace.root)
        place = place.with_signposts(format.signposts(export.data, str(place)))
        try:
            place.is_free(_files(earlier) if earlier else None)
        except InvalidInput as error:
            raise InvalidInput(f"{error}{_together(export, domain, workspace, dataset, str(out))}") from error
    if lost and (force or not earlier):
        log.warning("export %s: %s does not hold all of it (%s)", export.label, format.name, lost)
    if (force or not earlier) and Aspect.REWARDS in format.holds and not all(map(_has_rewards, export.data)):
        log.warning("export %s: its source has no rewards; what %s writes in their place means nothing",
                    export.label, format.name)  # fmt: skip
    if (force or not earlier) and not (format.shows_frames or format.takes_frames) and _has_frames(export, workspace):
        log.info("export %s: %s does not hold the drawn pictures (stage=frames)", export.label, format.name)
    artifact = workspace.build(export.spec, lambda draft: _write(export, draft), force)
    return artifact if place is None else _laid(artifact, place, export, workspace)


def _together(export: Export, domain: Domain, workspace: Workspace, dataset: str, out: str) -> str:
    """How the tasks that have a dataset become one output, where the form joins them and others have it, too.

    A sweep over tasks (`-m task=a,b`) makes one of each.
    """
    names = [name for name in domain.tasks if f"{domain.name}/{name}/{dataset}" in {*workspace}]
    if not export.format.joins or len(names) <= len(export.data):
        return ""
    return (
        f"\nOr all tasks in one, which is what format={export.format.name} is for: "
        f"{again(task=names, format__out=another_place(out))}"
    )


def _out(export: Export, asked: str, link: bool) -> Out:
    own = export.format.out(asked, export.data, link)
    return own or place_out(asked, export.place, export.format.suffixes, link)


def _laid(artifact: Artifact, place: Out, export: Export, workspace: Workspace) -> Artifact:
    """The artifact, which also lies where it was wanted."""
    files = _files(artifact)
    if not place.is_free(files):
        return replace(artifact, laid=str(place))
    if place.elsewhere and (wrong := list(wrong_export(artifact, workspace))):
        raise DamagedArtifact(f"{artifact.path} is not sent: {'; '.join(wrong)}.", remake(artifact))
    laid = place.lay(artifact.path / DATA, files, export.label)
    if laid and not artifact.built:  # of one that was built, the line that says so names the place
        log.info("export %s: laid at %s", export.label, place)
    return replace(artifact, laid=str(place))


def _has_rewards(data: Outgoing) -> bool:
    return has_rewards(data.provenance["parameters"])


def _has_frames(export: Export, workspace: Workspace) -> bool:
    """Whether pictures of some of the datasets were drawn."""
    datasets = (workspace.dataset(each.domain, each.task, each.name) for each in export.data)
    return any(of_leading_episodes(workspace, dataset, FRAMES) for dataset in datasets)


def _tasks(domain: Domain, task: str | list[str] | None, dataset: str, workspace: Workspace) -> list[str]:
    return tasks_for(Asked(["export"], task, [dataset]), domain, workspace)


def _write(export: Export, draft: Draft) -> None:
    folder = draft.path / DATA
    folder.mkdir(exist_ok=True)
    remove_half_written(folder)  # of a run that was killed
    with _counted(export) as data:
        export.format.write(data, folder)
    left = list(folder.rglob(".*"))
    assert not left, f"{export.format.name} left {few([str(path) for path in left])}"
    for each in export.data:
        draft.content(f"{each.domain}/{each.task}", bytes.fromhex(str(each.provenance["digest"])))
    draft.counts |= {
        "tasks": len(export.data),
        "episodes": sum(len(each) for each in export.data),
        "states": sum(each.dataset.states for each in export.data),
    }
    draft.facts[LOST] = lost_words(export.lost, export.format.becomes())
    draft.facts[PLACE] = str(export.place)


@contextmanager
def _counted(export: Export) -> Iterator[list[Outgoing]]:
    """The tasks, with a progress bar over the episodes of all of them."""
    total = sum(len(each) for each in export.data)
    with progress("export", export.label, "episodes", total) as advance:
        yield [replace(each, advance=advance) for each in export.data]


def _files(artifact: Artifact) -> dict[str, dict[str, Any]]:
    """Its files by their path below the folder that the form wrote."""
    return {name.removeprefix(f"{DATA}/"): record for name, record in artifact.manifest.files.items()}
