"""`format.prefix`: the folder of the parquet files as the trainer sees it, spelt so in its table of row groups."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.wording import check_type, few

TASK = "{task}"
"""In a prefix: the name of the environment, where each task is an output of its own."""

SCHEME = "hdfs://"
"""The only kind of address that the trainers' datasets list."""


def checked_prefix(prefix: object, per_task: bool) -> str:
    """A prefix that a folder can have. Raises InvalidInput."""
    check_type("format.prefix", prefix, str, "a text: the folder of the parquet files as the trainer sees it")
    text = str(prefix)
    if not text.strip():
        raise InvalidInput("format.prefix is empty: name the folder of the parquet files, or leave it out.")
    if "://" in text and not text.startswith(SCHEME):
        raise InvalidInput(
            f"format.prefix={text} is an address, and the trainers list folders (and {SCHEME}). Mount it and name the "
            f"folder there: {again(format__prefix='/mnt/' + text.partition('://')[2])}"
        )
    if text.startswith("~"):
        raise InvalidInput(
            f"format.prefix={text}: the trainers take ~ for a name. Write the whole path: "
            f"{again(format__prefix=str(Path(text).expanduser()))}"
        )
    if per_task and TASK not in text:
        raise InvalidInput(
            f"format.prefix={text} is one folder, and with format.per_task=true each task has its own. Say where its "
            f"name stands: {again(format__prefix=os.path.join(text, TASK, 'data'))}"
        )
    if not per_task and TASK in text:
        raise InvalidInput(
            f"format.prefix={text}: {TASK} is the name of a task only where each is an output of its own: "
            f"{again(format__per_task=True)}"
        )
    return text


def prefix_of(asked: str | None, place: str, name: str, files: list[str]) -> str:
    """The prefix of what lies at `place`, of an environment with this name, with these files.

    Raises InvalidInput for one that leads to another folder of this machine than that of the files.
    """
    there = os.path.join(place, "data")
    if asked is None:
        if "://" in place and not place.startswith(SCHEME):
            mounted = f"/mnt/{there.partition('://')[2]}"
            raise InvalidInput(
                f"{place} is an address, and the trainers list folders. Say where they see the parquet files: "
                f"{again(format__prefix=mounted)}"
            )
        return there
    prefix = asked.replace(TASK, name)
    folder = Path(prefix)
    if folder.absolute() == Path(place):
        raise _unfit(prefix, f"the parquet files lie in {there}", there)
    if "://" in prefix or not folder.exists():
        return prefix
    if not folder.is_dir():
        raise _unfit(prefix, "it is a file", there)
    names = sorted(each.name for each in folder.iterdir())
    parquet = [each for each in names if each.endswith(".parquet")]
    if names and parquet != files:
        what = few(parquet or names)
        raise _unfit(prefix, f"that folder holds {what}; the files of this export are {few(files)}", there)
    return prefix


def _unfit(prefix: str, why: str, there: str) -> InvalidInput:
    return InvalidInput(
        f"format.prefix={prefix} does not fit: {why}. A trainer that looks there finds none of its row groups.\n"
        f"Name the folder of the parquet files: {again(format__prefix=there)}"
    )
