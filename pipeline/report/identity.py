"""Which page it is: what it is made from, and where its pictures and videos come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.workspace import Workspace
from pipeline.report.gather import places_of
from pipeline.report.pictures import FRAMES, NONE, OBSERVATIONS, REPLAY, best_pictures, film_of
from pipeline.report.sources import PageSources

REPORT = "report"
REPORT_FORMAT = 5


def page_spec(sources: PageSources, pictures: str, videos: str) -> Spec:
    """The identity of a page with pictures and videos of these origins.

    It shows every episode of the dataset, not only those that retrieve: growth gives another page. So do neighbours,
    distances, embeddings and frames, which it shows where they are there.
    """
    artifact, *others = sources.artifacts
    whole = episodes_parent(artifact, sources.dataset, len(sources.dataset))
    parents = (whole, *(other.as_parent() for other in others))
    parameters: dict[str, object] = {"pictures": pictures, "videos": videos}
    if sources.doctor is not None:
        parameters["doctor"] = sources.doctor
    if sources.domain.display_name:
        parameters["display_name"] = sources.domain.display_name
    return Spec(artifact.domain, artifact.task, REPORT, REPORT_FORMAT, parameters, parents)


def best_page(sources: PageSources) -> Spec:
    """The page that is made where everything works: where something draws, and videos can be written."""
    return page_spec(sources, best_pictures(sources, places_of(sources)), film_of(sources)[0])


def made_page(sources: PageSources, workspace: Workspace) -> Artifact | None:
    """The best page of these sources that was made already, the doctor's findings on it or not."""
    return next(filter(None, map(workspace.get, _pages(sources))), None)


def _pages(sources: PageSources) -> Iterator[Spec]:
    for doctor in dict.fromkeys((sources.doctor, None)):
        for pictures in (FRAMES, REPLAY, OBSERVATIONS, NONE):
            for videos in (FRAMES, OBSERVATIONS, NONE):
                yield page_spec(replace(sources, doctor=doctor), pictures, videos)
