"""The card of a repository: YAML that `datasets.load_dataset` reads, and the figures of every task in it.

What people wrote into the card on the hub stays: only the configurations in the YAML and the text between two marks are
ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.command import Command, Typed, override
from pipeline.dataset.rewards import return_words, reward_clipping
from pipeline.errors import InvalidInput
from pipeline.hub.names import DESCRIPTION, EXTRAS, Listed

BEGIN, END = "<!-- repertoire: begin -->", "<!-- repertoire: end -->"
FENCE = "---"
FIRST = {"task_categories": ["reinforcement-learning"], "tags": ["offline-rl", "retrieval", "regent"]}
"""Further text of a new card. Text that was changed on the hub stays as it is there."""

METRICS = {"l2": "L2", "cosine": "cosine"}

ROWS = """* `_subset`: one row per chunk of at most {width} steps of an episode. Steps after the chunk's end repeat its
  first step. `rewards` are shifted one step later: `rewards[t]` was received before acting at `t`."""

STATES = """* `_newdata`: one row per state. `indices` are the (row, column) of its 19 nearest states in other episodes
  and of itself. `distances` are {metric} distances from the first of them to all 20, raw: divide by p95."""

HELD_OUT = """* A task that is held out from training has the states of its demonstrations, and as a configuration only
  their `distances`. Its other arrays lie in its folder as raw files, so that nothing is missing when it is fetched."""

TEXT = """{begin}
## What is in it

Retrieval-augmented imitation data in the layout of REGENT (arXiv:2412.04759), made by repertoire.

| task | episodes | states | rows | return of an episode | success | p95 of distances | dataset |
|---|---|---|---|---|---|---|---|
{tasks}

| configuration | rows | bytes in memory | bytes of files | columns |
|---|---|---|---|---|
{configs}

{notes}

## Read it

```python
from datasets import load_dataset
data = load_dataset("{repo}", "{example}", split="train")
```

As bin files, byte for byte those that it was made from, with repertoire:

```
{fetch}
```

`{extras}/<task>/` holds what the parquet files leave out: `shapes.json`, `dist_stats.json` (mean, percentiles), the
lookup from dataset rows to rows here, and `{description}` (how the episodes were made, settings, versions, checksums).
{end}
"""


def repository_card(
    repo: str, tasks: Mapping[str, Listed], described: Mapping[str, Mapping[str, Any]], present: str = ""
) -> str:
    """The whole README.md. `described` are the tasks' descriptions by name, `present` the card that is there.

    Raises InvalidInput where the present card has a YAML head that cannot be read.
    """
    head, body = split_card(present)
    ours = [config for task in tasks.values() for config in task.shards]
    others = [entry for entry in head.get("configs", []) if entry.get("config_name") not in ours]
    head = (FIRST if not present else {}) | head | {"configs": [*others, *map(_entry, ours)]}
    section = _section(repo, tasks, described)
    before, found, rest = body.partition(BEGIN)
    after = rest.partition(END)[2].removeprefix("\n") if found else ""
    if not body.strip():
        before = f"# {repo}\n\n"
    elif not found:
        before = body.rstrip("\n") + "\n\n"
    return joined_card(head, f"{before}{section}{after}")


def joined_card(head: Mapping[str, Any], body: str) -> str:
    """The card of a YAML head and a text."""
    return f"{FENCE}\n{yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)}{FENCE}\n{body}"


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """The YAML head and the text of a card."""
    if not card.startswith(f"{FENCE}\n"):
        return {}, card
    head, _, body = card.removeprefix(f"{FENCE}\n").partition(f"\n{FENCE}")
    try:
        values = yaml.safe_load(head) or {}
    except yaml.YAMLError as error:
        raise InvalidInput(f"The head of the repository's README.md is no YAML: {error}. Mend it there.") from error
    if not isinstance(values, dict) or not isinstance(values.get("configs", []), list):
        raise InvalidInput("The head of the repository's README.md is not made of names and values. Mend it there.")
    return values, body.removeprefix("\n")


def _entry(config: str) -> dict[str, Any]:
    return {"config_name": config, "data_files": [{"split": "train", "path": f"{config}/train-*"}]}


def _section(repo: str, tasks: Mapping[str, Listed], described: Mapping[str, Mapping[str, Any]]) -> str:
    first = next(iter(tasks.values()))
    domain, _, task = first.name.partition("-")
    facts = described.get(first.name, {}).get("dataset", {}).get("made_by", {}).get("environment", {})
    return TEXT.format(
        begin=BEGIN,
        end=END,
        tasks="\n".join(_task_row(task, described.get(name)) for name, task in tasks.items()),
        configs="\n".join(row for name, task in tasks.items() for row in _config_rows(task, described.get(name))),
        notes=_notes(list(described.values())),
        repo=repo,
        example=next(iter(first.shards)),
        fetch=Command("fetch", task, _domain_words(domain, task, facts), {"hub.repo_id": repo}).line(Typed()),
        extras=EXTRAS,
        description=DESCRIPTION,
    )


def _domain_words(domain: str, task: str, environment: Mapping[str, Any]) -> str:
    """What a command must say to mean the domain of a published task, whose simulator gave these facts."""
    settings: dict[str, Any] = {}
    if domain == "gym":
        settings["domain.env_id"] = environment.get("id", task)
    elif environment.get("entry_point") and domain == "dmc":
        settings["domain.entry_point"] = environment["entry_point"]
    return shlex.join([f"domain={domain}", *(override(key, value) for key, value in settings.items())])


def _task_row(task: Listed, facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return f"| {task.name} | | | | | | | not described |"
    figures = facts["figures"]
    returns, success, data = figures["return"], figures["success"], facts["dataset"]
    clipping = reward_clipping(data["made_by"])
    cells = [
        task.name + (" (held out)" if facts["held_out"] else ""),
        f"{figures['episodes']:,}",
        f"{figures['states']:,}",
        f"{figures['rows']:,}",
        f"{returns['mean']:.4g} ({returns['min']:.4g} to {returns['max']:.4g})"
        + (f", {return_words(clipping)}" if clipping else ""),
        "" if success is None else f"{success:.0%}",
        f"{figures['distances']['p95']:.9g}",
        f"{data['name']}, {data['digest'][:16]}",
    ]
    return f"| {' | '.join(cells)} |"


def _config_rows(task: Listed, facts: Mapping[str, Any] | None) -> list[str]:
    known = {each["config"]: each for each in facts["configs"]} if facts else {}
    rows = []
    for config in task.shards:
        if config not in known:
            rows.append(f"| `{config}` | | | | |")
            continue
        each = known[config]
        columns = "; ".join(f"`{name}`: {what}" for name, what in each["columns"].items())
        stored = sum(file["size"] for file in each["files"].values())
        rows.append(f"| `{config}` | {each['rows']:,} | {each['raw_bytes']:,} | {stored:,} | {columns} |")
    return rows


def _notes(described: Sequence[Mapping[str, Any]]) -> str:
    notes = []
    widths = sorted({int(facts["retrieval"]["row_width"]) for facts in described if not facts["held_out"]})
    metrics = sorted({METRICS.get(facts["retrieval"]["metric"], facts["retrieval"]["metric"]) for facts in described})
    if widths:
        notes.append(ROWS.format(width=" or ".join(map(str, widths))))
    if described:
        notes.append(STATES.format(metric=" or ".join(metrics)))
    if any(facts["held_out"] for facts in described):
        notes.append(HELD_OUT)
    return "\n".join(notes)
