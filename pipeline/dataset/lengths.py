"""How long the episodes of a dataset typically are, in words."""

from __future__ import annotations

import numpy as np

from pipeline.dataset.reader import EpisodeDataset

BUDGET = "budget"
"""The end of an episode that was cut after its share of `frames=`."""


def length_words(dataset: EpisodeDataset) -> str:
    """The median, and between which lengths nine of ten episodes lie: `183 (95-412)`, or `100` where all are as long.

    Episodes that `frames=` has cut say nothing of how long they would be: they count where there are no others, and
    `cut at 20` is then said.
    """
    cut = np.array(dataset.texts("end_reason")) == BUDGET
    if not len(dataset):
        return ""
    if cut.all():
        return f"cut at {int(dataset.lengths.max()):,}"
    least, middle, most = np.percentile(dataset.lengths[~cut], (5, 50, 95), method="nearest").tolist()
    return f"{middle:,}" if least == most else f"{middle:,} ({least:,}-{most:,})"
