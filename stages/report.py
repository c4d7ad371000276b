"""Report: one HTML page that shows a task's episodes and whether its retrieval finds what looks alike."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.workspace import Workspace
from pipeline.digest import digest_arrays
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import InvalidInput
from pipeline.fingerprint import canonical
from pipeline.frames.video import check_encoder
from pipeline.machine.files import write_atomic, write_json
from pipeline.machine.provenance import Stopwatch
from pipeline.regent.settings import RetrievalSettings
from pipeline.report.figures import Figures, Media
from pipeline.report.gather import PageSources, figures_of, page_sources, pictures_of, places_of
from pipeline.report.page import render_page
from pipeline.report.videos import why_no_frames, write_videos

REPORT_FORMAT = 3
PAGE, INDEX, FIGURES, VIDEOS = "page", "index.html", "figures.json", "videos"

FACTS = StageFacts()


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    embedding: Embedding | None = None,
    force: bool,
) -> Artifact:
    """The folder `page/` with `index.html` and its videos, and `figures.json`, the data that it shows.

    Where nothing can draw or nothing can write videos, the page says why and shows the rest. It is then another
    artifact, so that the same command makes the better page once it can. Observations that are no vectors give a page
    without retrieval, unless `embedding` makes vectors of them.
    """
    sources = page_sources(domain, task, workspace, dataset, episodes, retrieval, embedding)
    if not force and (page := workspace.get(_spec(sources, pictures=True, videos=sources.frames is not None))):
        return page
    stopwatch = Stopwatch()
    figures = figures_of(sources)
    pictures, no_pictures = pictures_of(domain, task, sources, places_of(figures))
    no_videos = _no_videos(sources)
    spec = _spec(sources, pictures=not no_pictures, videos=not no_videos)

    def write(draft: Draft) -> None:
        _write(sources, figures, Media(pictures, no_pictures, no_videos=no_videos), draft)

    return workspace.build(spec, write, force, stopwatch)


def _no_videos(sources: PageSources) -> str:
    if sources.frames is None:
        return why_no_frames(sources.artifact, sources.domain.words)
    try:
        check_encoder()
    except InvalidInput as error:
        return str(error)
    return ""


def _spec(sources: PageSources, pictures: bool, videos: bool) -> Spec:
    """The page shows every episode of the dataset, not only those that retrieve: growth gives another page. So do
    frames, which it shows.
    """
    artifact, *others = sources.artifacts
    whole = episodes_parent(artifact, sources.dataset, len(sources.dataset))
    parents = (whole, *(other.as_parent() for other in others))
    parameters: dict[str, object] = {"pictures": pictures, "videos": videos}
    if sources.domain.display_name:
        parameters["display_name"] = sources.domain.display_name
    return Spec(artifact.domain, artifact.task, "report", REPORT_FORMAT, parameters, parents)


def _write(sources: PageSources, figures: Figures, media: Media, draft: Draft) -> None:
    folder = draft.folder(PAGE)
    problems: list[str] = []
    if sources.frames is not None and not media.no_videos:
        (folder / VIDEOS).mkdir()
        media.videos, problems = write_videos(sources.frames, figures.videos, folder / VIDEOS)
    html = render_page(figures, media, sources.domain.label, sources.no_search, sources.artifacts)
    write_atomic(folder / INDEX, lambda file: file.write(html.encode()))
    write_json(draft.path / FIGURES, figures.to_json())
    # The digest is that of the data: pixels differ between renderers, commands and versions between runs.
    draft.content(FIGURES, digest_arrays({FIGURES: np.frombuffer(canonical(figures.to_json()).encode(), np.uint8)}))
    draft.counts |= {"episodes": len(figures.returns), "states": figures.states, "pictures": len(media.pictures)}
    draft.counts["videos"] = len(media.videos)
    if media.no_pictures:
        draft.warnings.append(f"The page has no pictures: {media.no_pictures}")
    if media.no_videos and sources.frames is not None:
        draft.warnings.append(f"The page has no videos: {media.no_videos}")
    draft.warnings.extend(problems)
