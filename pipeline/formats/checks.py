"""An export is read back by its own door, and its episodes are compared with those of its dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import zip_longest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import place_in, tasks_in
from pipeline.dataset.prefix import content_digest
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import UnknownName
from pipeline.formats.absent import FinalObservation, filled
from pipeline.formats.aspects import differing
from pipeline.formats.choice import form_of
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.provenance import provenance
from pipeline.sources.absent import unfilled

SHOWN = 5
"""So many episodes of a task are named that differ."""

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
    for task, parent in zip(tasks_in(export), export.parents, strict=True):
        of_it = parent.version if len(export.parents) == 1 else f"{parent.version} of {task}"
        there = workspace.holding(export, parent, task)
        dataset = next((each for each in there if content_digest(each) == parent.digest), None)
        if dataset is not None:
            yield from _wrong_episodes(export, form, task, EpisodeDataset.of(dataset))
        elif there:
            yield f"its dataset {of_it} has other content now"
        else:
            log.info("export %s: its episodes were not compared: the dataset %s is gone or damaged", export.path, of_it)


def _wrong_episodes(export: Artifact, form: Format, task: str, dataset: EpisodeDataset) -> Iterator[str]:
    """In which episodes of a task what is read back differs from what the form should hold, and in what."""
    rule = export.manifest.parameters.get("final_observation")
    of_it = f" of {task}" if len(export.parents) > 1 else ""
    assert dataset.artifact is not None
    held = form.holding(Outgoing(export.domain, task, dataset, provenance(dataset.artifact, dataset, {})))
    wrong, pairs = 0, zip_longest(form.source(place_in(export)).episodes(export.domain, task), dataset)
    for number, (back, episode) in enumerate(pairs):
        what = _difference(held, back, episode, FinalObservation(rule) if rule else None)
        wrong += bool(what)
        if what and wrong <= SHOWN:
            yield f"episode {number}{of_it} {what}"
    if wrong > SHOWN:
        yield f"{wrong - SHOWN} more episodes{of_it} differ"


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
