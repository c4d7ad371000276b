"""The files that lead a trainer to an export: the table of row groups, a configuration, and a page to paste from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from pipeline.formats.image_text.guide import GROUP, PARQUET_INFO, POSITIONS, Guide
from pipeline.formats.image_text.sharing import SETUPS, used_groups

TRAIN, CONFIG = "TRAIN.md", "bagel.yaml"

SIGNPOSTS = (PARQUET_INFO, TRAIN, CONFIG)

HEAD = """# Train on {name}

{facts}

This page, `{config}` and `{info}` say where the export lies. The same command with another `format.prefix` or
`format.out` writes them anew: keep your own settings elsewhere.

## Where it lies

The trainer finds the files in `{prefix}`
and the table of their row groups at `{info_path}`.
Spell both as here: to a trainer `data/x`, `./data/x` and `/abs/data/x` are three places, and a file that the table does
not name is passed over without a word. After a move, run the command again with `format.prefix=FOLDER`.

"""

PYTHON = """## {trainer}

Append to `data/dataset_info.py`:

```python
{registration}
```

Start `train/pretrain_unified_navit.py` with these, and the settings that you have besides:

```sh
{flags}
```

`{config}` says, and your own may hold other groups, too:

```yaml
{yaml}```

"""

NEMO = """## NeMo Automodel

In the recipe, such as `examples/multimodal_finetune/bagel/bagel_sft.yaml`:

```yaml
{yaml}```

"""

TAIL = """## Row groups

| GPUs x loader workers | row groups read, of {groups} | never read |
|---|---|---|
{table}

A worker without a row group waits for ever, without a message; NeMo stops, and names the dataset. One process is one
GPU. What is left out of one pass is left out of all.

`num_used_data` counts files: {files} takes all of them, once. Fewer takes the first ones in the order of the folder;
more repeats files, evenly only if it is a multiple of {files}.

## What is learnt

{learnt}

## If training goes wrong

| seen | look at |
|---|---|
| it waits for ever at the start | the table above; samples that are all too long (`{most_tokens}`) |
| `list index out of range`, `has no data paths to shard` | keys of `{info}` are not `os.path.join(data_dir, name)` |
| lines that begin with `Error` and name `rg#` | the layout of another trainer, or a damaged copy |
| `skip a sample with length` | `{most_tokens}`; a smaller `format.window` makes shorter samples |
| an index out of range in an embedding | `--max_latent_size {positions}` is missing |
"""

LEARNT = {
    "bagel": """Of each row one window of two or three neighbouring pictures a pass: the first is context,
the action the condition, the next picture the target: a world model. `format=thinkmorph` teaches a policy, too.""",
    "thinkmorph": """Whole rows: the first picture and the prompt are context; each action has loss (a policy),
and each next picture (a world model). `--ce_weight 0` leaves the world model alone.""",
}

TRAINERS = {"bagel": "BAGEL", "thinkmorph": "ThinkMorph"}

MOST_TOKENS = "--max_num_tokens_per_sample"


def signposts_of(guide: Guide) -> Mapping[str, bytes]:
    """The files, by name."""
    config = f"# For --dataset_config_file. Another format.prefix writes this file anew; {TRAIN} says the rest.\n"
    texts = {
        PARQUET_INFO: json.dumps(guide.parquet_info(), indent=1, ensure_ascii=False) + "\n",
        CONFIG: config + _yaml(guide.group()),
        TRAIN: _page(guide),
    }
    return {name: text.encode() for name, text in texts.items()}


def _page(guide: Guide) -> str:
    words = {"config": CONFIG, "info": PARQUET_INFO, "positions": POSITIONS, "most_tokens": MOST_TOKENS}
    parts = [
        HEAD.format(
            **words,
            name=guide.name,
            facts="\n".join(f"* {line}" for line in guide.facts()),
            prefix=guide.prefix,
            info_path=guide.beside(PARQUET_INFO),
        ),
        PYTHON.format(
            **words,
            trainer=TRAINERS[guide.form],
            registration=_python(guide.registration()),
            flags=" \\\n".join(_flags(guide)),
            yaml=_yaml(guide.group()),
        ),
        NEMO.format(yaml=_yaml(_nemo(guide))) if guide.form == "bagel" else "",
        TAIL.format(
            **words,
            groups=guide.groups.groups,
            table=_table(guide.groups.groups),
            files=guide.groups.files,
            learnt=LEARNT[guide.form],
        ),
    ]
    return "".join(parts)


def _flags(guide: Guide) -> Iterator[str]:
    yield f"--dataset_config_file {shlex.quote(guide.beside(CONFIG))}"
    yield f"--max_latent_size {POSITIONS}"
    yield f"{MOST_TOKENS} {guide.max_tokens}"
    if guide.form == "thinkmorph":  # dropped texts lose their loss, too
        yield "--text_cond_dropout_prob 0"


def _nemo(guide: Guide) -> dict[str, Any]:
    return {
        "dataset": {
            "dataset_info": {GROUP: guide.registration()},
            "grouped_datasets": guide.group(),
            "max_num_tokens_per_sample": guide.max_tokens,
            "max_latent_size": POSITIONS,
        }
    }


def _table(groups: int) -> str:
    lines = []
    for gpus, workers in SETUPS:
        used = used_groups(groups, gpus, workers)
        lines.append(f"| {gpus} x {workers} | {used or '**none**'} | {groups - used} |")
    return "\n".join(lines)


def _python(registration: Mapping[str, Mapping[str, Any]]) -> str:
    """`DATASET_INFO[...][...] = {...}`, a line a value."""
    ((name, facts),) = registration.items()
    inner = "".join(f"    {key!r}: {value!r},\n" for key, value in facts.items())
    return f"DATASET_INFO[{GROUP!r}][{name!r}] = {{\n{inner}}}"


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    return text
