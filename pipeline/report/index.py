"""The index over the pages of a domain's tasks: a picture, a few figures and a link for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact, Spec
from pipeline.dataset.rewards import return_words
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound
from pipeline.machine.files import read_json
from pipeline.regent.recipe import Recipe
from pipeline.report.identity import REPORT, made_page
from pipeline.report.page import picture_uri, rate_words, render
from pipeline.report.sources import page_sources

INDEX_FORMAT = 1
PAGE, INDEX, FIGURES, THUMBNAIL = "page", "index.html", "figures.json", "thumbnail.webp"
"""Names inside the artifact of a page and of an index."""


@dataclass(frozen=True)
class IndexEntry:
    """What an index says about one task. `link` leads from the index to the page, relative to the index."""

    task: str
    episodes: int
    states: int
    mean_return: float
    returned: str
    successes: int
    success_known: int
    held_out: bool
    link: str


def made_pages(
    recipe: Recipe, tasks: Sequence[str], workspace: Workspace, doctor: int | None = None
) -> dict[str, Artifact]:
    """The best page of each task that was made already; tasks without one are left out.

    `doctor` is the number of the doctor's checks of today: pages that show what others found are not taken.
    """
    found = {}
    for task in tasks:
        try:
            page = made_page(page_sources(recipe.for_task(task), workspace, doctor), workspace)
        except ArtifactNotFound:  # no such dataset
            continue
        if page is not None:
            found[task] = page
    return found


def index_spec(domain: Domain, pages: Sequence[Artifact]) -> Spec:
    """The identity of the index over these pages, which lies beside the tasks."""
    parameters = {"display_name": domain.display_name} if domain.display_name else {}
    return Spec(domain.name, ALL_TASKS, REPORT, INDEX_FORMAT, parameters, tuple(page.as_parent() for page in pages))


def entry_of(page: Artifact, domain: Domain) -> IndexEntry:
    """What the index says about a page."""
    page.require_whole()
    figures: dict[str, Any] = read_json(page.path / FIGURES)
    bounds = figures["reward_clipping"]
    return IndexEntry(
        task=page.task,
        episodes=figures["episodes"],
        states=figures["states"],
        mean_return=figures["mean_return"],
        returned=return_words((bounds[0], bounds[1]) if bounds else None),
        successes=figures["successes"],
        success_known=figures["success_known"],
        held_out=page.task in domain.unseen,
        link=f"../../../../{page.task}/{REPORT}/{page.path.name}/{PAGE}/{INDEX}",
    )


def render_index(domain: Domain, dataset: str, pages: Sequence[Artifact], entries: Sequence[IndexEntry]) -> str:
    """The index as HTML. Raises InvalidInput where jinja2 is missing."""
    return render(
        "index_template.html.j2",
        domain=domain.label,
        dataset=dataset,
        entries=entries,
        without=[task for task in domain.tasks if task not in {entry.task for entry in entries}],
        pictures={page.task: picture_uri(file.read_bytes()) for page in pages if (file := _thumbnail(page)).is_file()},
        rates={entry.task: rate_words(entry.successes, entry.success_known) for entry in entries},
        episodes=sum(entry.episodes for entry in entries),
        states=sum(entry.states for entry in entries),
        never=[entry.task for entry in entries if entry.success_known and not entry.successes],
    )


def index_figures(entries: Sequence[IndexEntry], pages: Sequence[Artifact]) -> dict[str, Any]:
    """The data of the index, and nothing that depends on where or when it was made."""
    digests = {page.task: page.parent(EPISODES).digest for page in pages}
    return {"tasks": [{**asdict(entry), "digest": digests[entry.task]} for entry in entries]}


def _thumbnail(page: Artifact) -> Path:
    return page.path / PAGE / THUMBNAIL
