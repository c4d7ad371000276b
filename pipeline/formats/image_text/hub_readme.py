"""The card of an export for trainers: the hub and `datasets` decode its pictures, and a copy can be trained on."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import yaml

from pipeline.formats.image_text.guide import Guide
from pipeline.formats.image_text.trainer_rows import PICTURES

TEXT = """# {name}

Windows of episodes for {form}: {rows} rows of pictures and actions, written by repertoire. `provenance.json` says what
made the episodes.

Here `datasets` decodes the pictures:

```python
from datasets import load_dataset

rows = load_dataset("FOLDER", split="train")
```

A trainer wants, beside the folder `data`, a table of its row groups whose paths are those of this copy:

```python
import json, os, sys
import pyarrow.parquet as pq

folder = sys.argv[1]  # as the trainer's data_dir spells it
table = {{}}
for name in sorted(os.listdir(folder)):
    about = pq.read_metadata(os.path.join(folder, name))
    table[os.path.join(folder, name)] = {{"num_row_groups": about.num_row_groups, "num_rows": about.num_rows}}
json.dump(table, open(os.path.join(folder, "..", "parquet_info.json"), "w"))
```
"""


def hub_readme(guide: Guide, schema: pa.Schema) -> str:
    """The card."""
    head = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
        "dataset_info": {"features": [{"name": field.name, **_feature(field.name, field.type)} for field in schema]},
    }
    text = TEXT.format(name=guide.name, form=guide.form, rows=f"{guide.groups.rows:,}")
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{text}"


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    """As cards name features: `sequence: image`, `sequence: {sequence: string}`, `dtype: string`."""
    if name == PICTURES:
        return {"sequence": "image"}
    if not pa.types.is_list(kind):
        return {"dtype": str(kind)}
    inner = _feature(name, kind.value_type)
    return {"sequence": inner.get("dtype", inner)}
