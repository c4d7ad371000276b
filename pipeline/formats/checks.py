"""An export is read back by its own door, and its episodes are compared with those of its dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import zip_longest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import TASKS, datasets_in, place_in, tasks_in
from pipeline.dataset.prefix import content_digest, covering
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import UnknownName
from pipeline.formats.absent import FinalObservation, filled
from pipeline.formats.aspects import differing
from pipeline.formats.choice import form_of
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.provenance import provenance
from pipeline.frames.store import FRAMES, Frames
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.wording import first_few

log = logging.getLogger(__name__)


def wrong_export(export: Artifact, workspace: Workspace) -> Iterator[str]:
    """In what an export differs from its dataset: the episodes, and what of them. Nothing where all is as declared.

    What cannot be compared is logged: the dataset is gone, or the form is none of this program.
    """
    try:
        form = form_of(export.manifest.parameters)
    except UnknownName as error:
        log.info("export %s: its episodes were not compared with its dataset: %s", export.path, error)
        return
    data, datasets = [], datasets_in(export)
    for task, parent in zip(tasks_in(export), datasets, strict=True):
        of_it = parent.version if len(datasets) == 1 else f"{parent.version} of {task}"
        there = workspace.holding(export, parent, task)
        dataset = next((each for each in there if content_digest(each) == parent.digest), None)
        if dataset is not None:
            data.append(_outgoing(export, task, dataset, workspace, form))
        elif there:
            yield f"its dataset {of_it} has other content now"
        else:
            log.info("export %s: its episodes were not compared: the dataset %s is gone or damaged", export.path, of_it)
    if (source := form.source(place_in(export))) is not None:
        for each in data:
            yield from _wrong_episodes(source, form, each, len(datasets) > 1)
    elif len(data) == len(datasets) and all(each.frames or not _has_frames(export) for each in data):
        yield from form.wrong(data, place_in(export))


def _has_frames(export: Artifact) -> bool:
    """Whether it was made of drawn pictures, too."""
    return any(parent["kind"] == FRAMES for parent in export.manifest.parents)


def _outgoing(export: Artifact, task: str, dataset: Artifact, workspace: Workspace, form: Format) -> Outgoing:
    """A dataset as it went out."""
    settings = {name: value for name, value in export.manifest.parameters.items() if name != TASKS}
    rule, episodes = settings.get("final_observation"), EpisodeDataset.of(dataset)
    drawn = covering(workspace, dataset, FRAMES) if _has_frames(export) else None
    if _has_frames(export) and drawn is None:
        log.info("export %s: its pictures were not compared: the frames of %s are gone", export.path, task)
    return Outgoing(
        export.domain,
        task,
        episodes,
        provenance(dataset, episodes, settings),
        FinalObservation(rule) if rule else None,
        Frames(drawn) if drawn else None,
    )


def _wrong_episodes(source: Source, form: Format, data: Outgoing, several: bool) -> Iterator[str]:
    """In which episodes of a task what is read back differs from what the form should hold, and in what."""
    of_it = f" of {data.task}" if several else ""
    held = form.held(data)
    pairs = zip_longest(source.episodes(data.domain, data.task), data.dataset.read_ahead())
    found = (_difference(held, *pair, data.final_observation) for pair in pairs)
    wrong = (f"episode {number}{of_it} {what}" for number, what in enumerate(found) if what)
    return first_few(wrong, f"episodes{of_it} differ")


def _difference(
    held: Callable[[Episode], Episode], back: Episode | None, episode: Episode | None, rule: FinalObservation | None
) -> str:
    if back is None:
        return "is missing"
    if episode is None:
        return "is none of the dataset"
    expected = unfilled(held(filled(episode, rule)))
    if expected.digest() == back.digest():
        return ""
    return f"differs from its dataset in {', '.join(sorted(differing(expected, back))) or 'its bytes'}"
