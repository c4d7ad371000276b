"""What the actions of a registered environment are called, and pictures of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.formats.blender.places import data_spelling
from pipeline.formats.blender.registration import TreeLayout
from pipeline.formats.blender.registry import ENVIRONMENTS, Registry, Row
from pipeline.machine.files import write_atomic
from pipeline.sources.rlhf_blender.names import DATA
from pipeline.wording import few, how_many

LABELS, IMAGES = "stage.register.action_labels", "stage.register.action_images"

KINDS = (".png", ".svg")
"""The pictures that RLHF-Blender serves."""

ANOTHER_FILE = "Save the picture anew, or take it out of the folder."


def label_names(row: Row) -> list[str]:
    """What each action of Discrete(n), or each number of a Box of one axis, is called: its label, or its number."""
    return [str(label) for label in _labels(row).values()]


def set_labels(registry: Registry, row: Row, labels: Sequence[object]) -> None:
    """Change the labels in an environment's row; actions beyond them keep their numbers.

    Raises InvalidInput for more labels than actions, for two of one name, and for actions that cannot have any.
    """
    names = [_text(label) for label in labels]
    info, numbers = row.mapping("action_space_info"), [*_labels(row)]
    kind, shape = str(info.get("label", "")), tuple(info.get("shape") or ())
    if not numbers or len(shape) != 1:
        raise InvalidInput(
            f"{LABELS}: the actions of {row.text('registration_id')} are {kind or 'of no known space'}, and only a row "
            f"of actions or of numbers can have labels. Leave them out: {again(**{LABELS: None})}"
        )
    if len(names) > len(numbers):
        raise InvalidInput(
            f"{LABELS} has {how_many(len(names), 'labels')}, and {row.text('registration_id')} has "
            f"{how_many(len(numbers), 'actions')}. The first of them: {again(**{LABELS: names[: len(numbers)]})}"
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(f"{LABELS}: two actions are called {twice[0]}. Give each a name of its own.")
    kept = {key: names[at] if at < len(names) else int(key) for at, key in enumerate(numbers)}
    registry.change(ENVIRONMENTS, row.id, action_space_info={**info, "labels": kept})


def read_images(folder: str, labels: Sequence[str], layout: TreeLayout) -> dict[str, bytes]:
    """The pictures of a folder that belong to labels, by the name that each has in a tree.

    A picture of "Move up" is called move_up.png or move_up.svg. Raises InvalidInput for a folder without any, for
    pictures of no label, and for what is no picture.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise InvalidInput(f"{IMAGES}={folder} is no folder. Name one that holds a .png or .svg for each action.")
    stems = [stem_of(label) for label in labels]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in KINDS and not file.name.startswith("."))
    if strange := [file.name for file in files if stem_of(file.stem) not in stems]:
        raise InvalidInput(
            f"{IMAGES}: {few(strange)} of {path} belong to no action. Their names are {few(stems, 12)}, with .png or "
            f".svg. Rename them, or name the actions: {LABELS}=[...]"
        )
    if not files:
        raise InvalidInput(f"{IMAGES}: {path} has no .png or .svg. They are called {few(stems, 12)}.")
    found = {}
    for file in files:
        name = stem_of(file.stem)
        if layout == TreeLayout.DOCUMENTED:
            found[f"{name}.npy"] = _as_array(file)
        else:
            _check(file)
            found[f"{name}{file.suffix.lower()}"] = file.read_bytes()
    return found


def lay_images(root: Path, env_name: str, images: Mapping[str, bytes]) -> None:
    """Write pictures where the server looks for those of an environment."""
    folder = root / DATA / "action_labels" / data_spelling(env_name)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in images.items():
        write_atomic(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]


def stem_of(label: str) -> str:
    """The name of a label's picture.

    >>> stem_of("Move up")
    'move_up'
    """
    return re.sub(r"[\s/\\:]+", "_", label.strip().lower()).lstrip(".")


def _labels(row: Row) -> dict[str, Any]:
    info = row.mapping("action_space_info")
    return dict(info.get("labels") or {})


def _text(label: object) -> str:
    text = str(label).lower() if isinstance(label, bool) else str(label)
    if not text.strip() or not text.isprintable():
        raise InvalidInput(f"{LABELS}: {text!r} is no name. Give the action one of letters, digits and spaces.")
    return text


def _check(file: Path) -> None:
    """Raises InvalidInput for a file that is no picture of its kind."""
    if file.suffix.lower() == ".png":
        _opened(file)
        return
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except ElementTree.ParseError as error:
        raise InvalidInput(f"{file} is no SVG: {error}. {ANOTHER_FILE}") from error
    if root.tag.rpartition("}")[2] != "svg":
        raise InvalidInput(f"{file} is no SVG: it begins with <{root.tag}>. {ANOTHER_FILE}")


def _opened(file: Path) -> Image.Image:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.load()
            return picture.convert("RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{file} is no PNG: {error}. {ANOTHER_FILE}") from error


def _as_array(file: Path) -> bytes:
    """The .npy of a picture, (height, width, 3 or 4) uint8, as the manual has it."""
    if file.suffix.lower() != ".png":
        raise InvalidInput(f"{file}: format.layout=documented has arrays of pixels, and an SVG has none. Give a PNG.")
    written = BytesIO()
    np.save(written, np.asarray(_opened(file)))
    return written.getvalue()
