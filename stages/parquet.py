"""Write parquet: REGENT's `_subset` and `_newdata` configurations and a dataset card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from beartype import beartype
from jaxtyping import Shaped

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.rewards import clipping_note, reward_clipping
from pipeline.dataset.workspace import Workspace
from pipeline.machine.files import read_json, write_atomic
from pipeline.machine.progress import progress
from pipeline.regent.bins import SHAPES, STATISTICS
from pipeline.regent.card import dataset_card
from pipeline.regent.chain import PER_STATE, Chain, bins_name
from pipeline.regent.parquet import column_digest, columns_of, write_config
from pipeline.regent.recipe import Recipe

FACTS = StageFacts()


@beartype
def run(*, recipe: Recipe, workspace: Workspace, force: bool) -> Artifact:
    """Folders `{domain}-{task}_subset` and `_newdata` with `README.md`, readable by `datasets.load_dataset`.

    A task held out from training has `_newdata` with `distances` only, as REGENT publishes it.
    """
    chain = Chain.of(recipe, workspace)
    return workspace.build(chain.spec("parquet"), lambda draft: _write(chain, draft), force)


def _write(chain: Chain, draft: Draft) -> None:
    bins = chain.require("bins")
    folder = bins.path / bins_name(bins)
    columns = _columns(bins, folder)
    name, unseen = chain.name, chain.recipe.unseen
    per_row = {key: column for key, column in columns.items() if key not in PER_STATE}
    per_state = {key: columns[key] for key in (PER_STATE[:1] if unseen else PER_STATE)}
    configs = {f"{name}_newdata": per_state} if unseen else {f"{name}_subset": per_row, f"{name}_newdata": per_state}
    top = draft.folder("data")
    written = []
    with progress("parquet", chain.label, "configurations", len(configs)) as advance:
        for config, chosen in configs.items():
            written.append(write_config(top, config, chosen))
            for key, column in chosen.items():
                draft.content(f"{config}/{key}", column_digest(key, column))
                draft.listed(f"{config}/{key}", column.shape, column.dtype, "as in the bins")
            advance(1)
    metric = chain.recipe.retrieval.metric
    card = dataset_card(name, written, _facts(chain, folder), chain.layout.width, metric)
    write_atomic(top / "README.md", lambda file: file.write(card.encode()))
    draft.counts |= {"states": chain.plan.queries, "rows": len(chain.plan.rows)}


def _columns(bins: Artifact, folder: Path) -> dict[str, Shaped[np.ndarray, "n *shape"]]:
    dtypes = {array["name"]: np.dtype(array["dtype"]) for array in bins.manifest.arrays}
    return columns_of(folder, dtypes, read_json(folder / SHAPES))


def _facts(chain: Chain, folder: Path) -> dict[str, object]:
    statistics = read_json(folder / STATISTICS)
    returns = chain.episodes.manifest.return_
    clipping = reward_clipping(chain.episodes.manifest.parameters)
    return {
        "episodes used": chain.plan.episodes,
        "states": f"{chain.plan.queries:,}",
        "demonstration episodes (pool)": chain.plan.demos,
        "return of an episode": f"mean {returns['mean']:.4g}, min {returns['min']:.4g}, max {returns['max']:.4g}",
        **({"clipped rewards": clipping_note(clipping)} if clipping else {}),
        "distances": f"mean {statistics['mean']:.6g}, p95 {statistics['p95']:.9g}, max {statistics['max']:.6g}",
        "dataset": f"{chain.episodes.manifest.version}, digest {chain.episodes.manifest.digest[:16]}",
    }
