"""What a user needs to train on an export: its figures, the table of row groups, and the settings of each trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.formats.image_text.sharing import RowGroups, left_out_words
from pipeline.formats.image_text.tokens import VAE, VIT, PictureScaling
from pipeline.formats.image_text.trainer_rows import TaskRows
from pipeline.wording import how_many

PARQUET_INFO = "parquet_info.json"
GROUP = "unified_edit"
"""The trainers' name of the kind of dataset."""

POSITIONS = 64
"""A side of the table of positions that the trainers' scripts set; their code has half of that."""


@dataclass(frozen=True)
class Guide:
    """An export, and where a trainer will find it.

    Attributes:
        form, name: of the form, and of the dataset in the trainer's configuration.
        prefix: the folder of the parquet files, as the trainer sees it.
        tasks, groups: what was written.
        max_tokens: what the trainer's packer takes of a sample.
    """

    form: str
    name: str
    prefix: str
    tasks: Sequence[TaskRows]
    groups: RowGroups
    max_tokens: int

    def beside(self, name: str) -> str:
        """Where the trainer finds a file that lies beside the folder of the parquet files."""
        above, slash, _ = self.prefix.rstrip("/").rpartition("/")
        return f"{above}{slash}{name}"

    def facts(self) -> Iterator[str]:
        """What is printed when it is written, a line each."""
        counts = {"rows": self.groups.rows, "row groups": self.groups.groups, "files": self.groups.files}
        rows, row_groups, files = (how_many(number, things) for things, number in counts.items())
        yield f"{rows} in {row_groups} of {files}"
        yield from self.pictures()
        yield f"row groups that are read on GPUs x loader workers: {left_out_words(self.groups.groups)}"

    def pictures(self) -> Iterator[str]:
        """A line for each size of pictures and length of rows."""
        for tokens, most in dict.fromkeys((task.tokens, task.windows.most) for task in self.tasks):
            large = f"; needs --max_latent_size {POSITIONS}" if tokens.patches > POSITIONS // 2 else ""
            yield (
                f"pictures of {tokens.width} x {tokens.height} are {tokens.vae:,} tokens for the VAE and "
                f"{tokens.vit:,} for the ViT; a row has at most {most} of them{large}"
            )

    def parquet_info(self) -> dict[str, dict[str, int]]:
        """Row groups and rows of each file, by the path that the trainer has for it."""
        found = {}
        for number, name in enumerate(self.groups.names):
            groups = self.groups.groups_of(number)
            rows = sum(len(self.groups.rows_of(group)) for group in groups)
            found[os.path.join(self.prefix, name)] = {"num_row_groups": len(groups), "num_rows": rows}
        return found

    def registration(self) -> dict[str, Any]:
        """What `dataset_info` of a trainer says of it; the last two are not read."""
        where = {"data_dir": self.prefix, "parquet_info_path": self.beside(PARQUET_INFO)}
        return {self.name: where | {"num_files": self.groups.files, "num_total_samples": self.groups.rows}}

    def group(self) -> dict[str, Any]:
        """How a trainer's configuration names it."""
        return {
            GROUP: {
                "dataset_names": [self.name],
                "image_transform_args": _transform(VAE),
                "vit_image_transform_args": _transform(VIT),
                "is_mandatory": True,
                "num_used_data": [self.groups.files],
                "weight": 1.0,
            }
        }


def _transform(scaling: PictureScaling) -> dict[str, int]:
    return {"image_stride": scaling.stride, "max_image_size": scaling.most, "min_image_size": scaling.least}
