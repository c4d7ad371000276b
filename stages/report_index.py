"""Report index: one HTML page over the pages of several tasks."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks
from pipeline.command import Command
from pipeline.dataset.workspace import Workspace
from pipeline.digest import digest_arrays
from pipeline.doctor.checks import DOCTOR_FORMAT
from pipeline.errors import InvalidInput
from pipeline.fingerprint import canonical
from pipeline.machine.files import write_atomic, write_json
from pipeline.regent.recipe import Recipe
from pipeline.report.index import FIGURES, INDEX, PAGE, entry_of, index_figures, index_spec, made_pages, render_index

FACTS = StageFacts(per_task=False)


@beartype
def run(*, recipe: Recipe, workspace: Workspace, force: bool) -> Artifact | None:
    """`page/index.html`, with a picture, figures and a link for each task that has a page, and `figures.json`.

    None where one task alone is asked for or has a page: that page needs no index. Raises InvalidInput where there is
    no page at all.
    """
    domain = recipe.domain
    tasks = chosen_tasks(domain, recipe.task) or list(domain.tasks)
    if len(tasks) == 1:
        return None
    pages = list(made_pages(recipe, tasks, workspace, DOCTOR_FORMAT).values())
    if not pages:
        both = Command("report", domain=domain.words, settings={"dataset": recipe.dataset})
        raise InvalidInput(
            f"No task of {domain.name} has a page of the dataset {recipe.dataset}.\n"
            f"Make pages and index together: {both.line()}"
        )
    if len(pages) == 1:
        return None

    def write(draft: Draft) -> None:
        entries = [entry_of(page, domain) for page in pages]
        figures = index_figures(entries, pages)
        html = render_index(domain, recipe.dataset, pages, entries)
        write_atomic(draft.folder(PAGE) / INDEX, lambda file: file.write(html.encode()))
        write_json(draft.path / FIGURES, figures)
        draft.content(FIGURES, digest_arrays({FIGURES: np.frombuffer(canonical(figures).encode(), np.uint8)}))
        draft.counts |= {"tasks": len(pages), "episodes": sum(entry.episodes for entry in entries)}
        draft.counts["states"] = sum(entry.states for entry in entries)

    return workspace.build(index_spec(domain, pages), write, force)
