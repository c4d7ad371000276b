"""Report: one HTML page that shows a task's episodes, and whether its retrieval finds what looks alike."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.digest import digest_arrays
from pipeline.doctor.checks import DOCTOR_FORMAT
from pipeline.doctor.examined import examined
from pipeline.fingerprint import canonical
from pipeline.machine.files import write_atomic, write_json
from pipeline.machine.provenance import Stopwatch
from pipeline.regent.recipe import Recipe
from pipeline.report.figures import Diagnosis, Figures, Media
from pipeline.report.gather import figures_of, places_of
from pipeline.report.identity import best_page, page_spec
from pipeline.report.index import FIGURES, INDEX, PAGE, THUMBNAIL
from pipeline.report.page import picture_file, render_page
from pipeline.report.pictures import NONE, Pictures, film_of, no_encoder, picture_words, pictures_of
from pipeline.report.sources import PageSources, page_sources
from pipeline.report.videos import write_videos
from pipeline.report.wording import for_others

VIDEOS = "videos"


FACTS = StageFacts()


@beartype
def run(*, recipe: Recipe, workspace: Workspace, force: bool, doctor: bool = True) -> Artifact:
    """The folder `page/` with `index.html` and its videos, and `figures.json`, the data that it shows.

    Only the episodes are needed. What else is there, embeddings, neighbours, distances and frames, is shown; where it
    is not there, or nothing can draw or write videos, the page says why. It is then another artifact, so that the same
    command makes the better page once it can. `doctor` reads all of the dataset once more and shows what is wrong with
    it, apart from other datasets and without the simulator: stage=doctor asks these, too.
    Raises ArtifactNotFound where there is no such dataset.
    """
    sources = page_sources(recipe, workspace, DOCTOR_FORMAT if doctor else None)
    if not force and (page := workspace.get(best_page(sources))):
        page.require_whole()
        return page
    stopwatch = Stopwatch()
    pictures = pictures_of(sources, places_of(sources))
    made_of = film_of(sources)[0]
    no_videos = no_encoder() if made_of != NONE else ""
    spec = page_spec(sources, pictures.origin, NONE if no_videos else made_of)

    def write(draft: Draft) -> None:
        media = Media(pictures.frames, picture_words(pictures.origin, sources.screens), pictures.why)
        media.no_videos = no_videos
        diagnosis = None
        if doctor:
            diagnosis, media.commands = _diagnosis(sources)
        figures = figures_of(sources, diagnosis)
        problems = [] if no_videos else _write_videos(sources, figures, media, draft)
        _write(sources, figures, media, workspace, draft)
        draft.warnings.extend(for_others(each) for each in (*_warnings(pictures, no_videos), *problems))

    return workspace.build(spec, write, force, stopwatch)


def _diagnosis(sources: PageSources) -> tuple[Diagnosis, tuple[str, ...]]:
    """What the doctor says of the dataset, and the commands for what it found, which belong to no figure."""
    seen = examined(sources.dataset)
    rows = [finding.as_json() for finding in seen.findings]
    commands = tuple(row.pop("command") for row in rows)
    return Diagnosis(tuple(rows), seen.checked, tuple(seen.unchecked)), commands


def _warnings(pictures: Pictures, no_videos: str) -> list[str]:
    warnings = []
    if pictures.origin == NONE:
        warnings.append(f"The page has no pictures: {pictures.why}")
    elif pictures.wrong:
        warnings.append(f"The pictures are the observations: {pictures.why}")
    return warnings + ([f"The page has no videos: {no_videos}"] if no_videos else [])


def _write_videos(sources: PageSources, figures: Figures, media: Media, draft: Draft) -> list[str]:
    """Write the videos; returns why some could not be written."""
    made_of, _, pictures = film_of(sources)
    if made_of == NONE:
        return []
    folder = draft.folder(PAGE) / VIDEOS
    folder.mkdir()
    media.video_origin = picture_words(made_of, sources.screens)
    media.videos, problems = write_videos(pictures, [each.episode for each in figures.videos], folder)
    return problems


def _write(sources: PageSources, figures: Figures, media: Media, workspace: Workspace, draft: Draft) -> None:
    folder = draft.path / PAGE if media.videos else draft.folder(PAGE)
    html = render_page(sources, figures, media, workspace.root)
    write_atomic(folder / INDEX, lambda file: file.write(html.encode()))
    if media.pictures:
        middle = figures.strip[len(figures.strip) // 2]
        image = picture_file(media.pictures[middle.episode, middle.step])
        write_atomic(folder / THUMBNAIL, lambda file: file.write(image))
    write_json(draft.path / FIGURES, figures.to_json())
    # The digest is that of the data: pixels differ between renderers, commands and versions between runs.
    draft.content(FIGURES, digest_arrays({FIGURES: np.frombuffer(canonical(figures.to_json()).encode(), np.uint8)}))
    draft.counts |= {"episodes": len(figures.returns), "states": figures.states, "pictures": len(media.pictures)}
    draft.counts["videos"] = len(media.videos)
