"""The dataset card: YAML that `datasets.load_dataset` understands, and figures that were measured."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.regent.parquet import Written
from pipeline.search.metric import Metric

CARD = """---
pretty_name: {title}
task_categories:
- reinforcement-learning
tags:
- offline-rl
- retrieval
configs:
{configs}
---

# {title}

Retrieval-augmented imitation data in the layout of REGENT (arXiv:2412.04759), made by repertoire.

| configuration | rows | raw bytes | columns |
|---|---|---|---|
{table}

{notes}

{facts}

FOLDER is where this file lies. By its configuration's name, `load_dataset(FOLDER, "{example}")`, the library may give
what it read first from another folder.

```python
from datasets import load_dataset
data = load_dataset("parquet", data_dir="FOLDER/{example}", split="train")
```
"""

METRICS = {"l2": "L2", "cosine": "cosine"}

SUBSET = """* `_subset`: one row per chunk of at most {width} steps of an episode. Steps after the episode's end repeat
  the chunk's first step; `rewards` are shifted one step later: `rewards[t]` was received before acting at `t`."""

NEWDATA = """* `_newdata`: one row per state. `indices` are the (row, column) of its 19 nearest states in other episodes
  and of itself; `distances` are {metric} distances from the first of them to all 20, raw: divide by p95."""

HELD_OUT = """* This task is held out from training: its states are those of the demonstrations.
* `_newdata`: one row per state. `distances` are {metric} distances from its nearest state in other episodes to its 19
  nearest and to itself. They are raw: divide by p95 to normalise."""


def dataset_card(title: str, configs: Sequence[Written], facts: dict[str, object], width: int, metric: Metric) -> str:
    """Markdown with YAML front matter; `facts` are printed as they were measured."""
    listed = "\n".join(
        f"- config_name: {c.config}\n  data_files:\n  - split: train\n    path: {c.config}/train-*" for c in configs
    )
    table = "\n".join(
        f"| `{c.config}` | {c.rows:,} | {c.raw_bytes:,} | "
        + "; ".join(f"`{name}`: {what}" for name, what in c.features.items())
        + " |"
        for c in configs
    )
    lines = "\n".join(f"* {name}: {value}" for name, value in facts.items())
    whole = any(c.config.endswith("_subset") for c in configs)
    notes = (f"{SUBSET}\n{NEWDATA}" if whole else HELD_OUT).format(width=width, metric=METRICS[metric])
    example = configs[0].config
    return CARD.format(title=title, configs=listed, table=table, notes=notes, facts=lines, example=example)
