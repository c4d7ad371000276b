"""features.json of TensorFlow Datasets: what each key of a record holds, and how.

A node names its Python class and has one of: `featuresDict`, `sequence`, `tensor`, `image`, `text`, `classLabel`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.wording import json_words

STEPS = "steps"
"""The feature that is the steps of an episode."""

CLASSES = "tensorflow_datasets.core.features"

Path = tuple[str, ...]
"""The keys that lead to a feature."""

Shape = tuple[int | None, ...]


class LeafKind(StrEnum):
    """What a feature is."""

    TENSOR = "tensor"
    IMAGE = "image"
    TEXT = "text"
    OTHER = "other"
    """Something that is not read: a sequence, a video, a sound."""


class Encoding(StrEnum):
    """How a tensor lies in a record: as a list of numbers, or each as its bytes."""

    NONE = "none"
    BYTES = "bytes"
    ZLIB = "zlib"


@dataclass(frozen=True)
class Leaf:
    """A feature without others inside.

    Attributes:
        path: its keys; below `steps` without that.
        shape: of one step, or of the episode; None where an axis has any length.
        node: how features.json calls it, for messages.
    """

    path: Path
    kind: LeafKind
    dtype: str
    shape: Shape
    encoding: Encoding = Encoding.NONE
    node: str = ""

    @property
    def name(self) -> str:
        """The keys joined by `/`, as they stand in a record."""
        return "/".join(self.path)

    @cached_property
    def numbers(self) -> np.dtype[Any]:
        """The dtype of a tensor; the values of bfloat16 are float32, too."""
        return np.dtype(np.float32 if self.dtype == "bfloat16" else self.dtype)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Its shape, where that is known."""
        return tuple(size or 0 for size in self.shape)

    @cached_property
    def count(self) -> int:
        """Values of one row."""
        return math.prod(self.sizes)

    @property
    def is_read(self) -> bool:
        """Whether it is an array of one shape, a picture or a text."""
        return self.kind == LeafKind.IMAGE or (self.kind != LeafKind.OTHER and None not in self.shape)


@dataclass(frozen=True)
class EpisodeFeatures:
    """What a record of RLDS holds: of each step, and of the episode."""

    steps: Mapping[str, Leaf]
    episode: Mapping[str, Leaf]


def read_features(tree: Any, where: str) -> EpisodeFeatures:
    """The leaves of features.json. Raises InvalidInput where it is none, or has no steps."""
    top = _inside(tree, where)
    if STEPS not in top:
        raise InvalidInput(
            f"{where} describes no RLDS dataset: it has no feature {STEPS}, which holds the steps of an episode; it "
            f"has {', '.join(sorted(top)) or 'none'}."
        )
    steps = top[STEPS].get("sequence", {}) if isinstance(top[STEPS], dict) else {}
    inner = _inside(steps.get("feature") if isinstance(steps, dict) else None, f"{STEPS} of {where}")
    return EpisodeFeatures(
        {leaf.name: leaf for leaf in _leaves(inner, (), where)},
        {leaf.name: leaf for leaf in _leaves({k: node for k, node in top.items() if k != STEPS}, (), where)},
    )


def _inside(node: Any, where: str) -> Mapping[str, Any]:
    """The features of a node that has others inside."""
    found = node.get("featuresDict") if isinstance(node, dict) else None
    features = found.get("features", {}) if isinstance(found, dict) else None
    if not isinstance(features, dict):
        raise InvalidInput(f"{where} must be a featuresDict of TensorFlow Datasets; it is {json_words(node)}.")
    return features


def _leaves(features: Mapping[str, Any], before: Path, where: str) -> Iterator[Leaf]:
    for key, node in features.items():
        path = (*before, key)
        if not isinstance(node, dict):
            raise InvalidInput(f"{'/'.join(path)} of {where} must be an object; it is {json_words(node)}.")
        if "featuresDict" in node:
            yield from _leaves(_inside(node, f"{'/'.join(path)} of {where}"), path, where)
        else:
            yield _leaf(path, node, where)


def _leaf(path: Path, node: Mapping[str, Any], where: str) -> Leaf:
    kind = next((key for key in ("tensor", "image", "text", "classLabel") if key in node), "")
    content = node.get(kind) or {}
    if not isinstance(content, dict):
        raise InvalidInput(f"{'/'.join(path)} of {where} must be an object; it is {json_words(content)}.")
    called = kind or next((key for key in node if key != "pythonClassName"), "nothing")
    if kind == "text":
        return Leaf(path, LeafKind.TEXT, "string", (), node=called)
    if kind == "classLabel":
        return Leaf(path, LeafKind.TENSOR, "int64", (), node=called)
    shape = _shape(content.get("shape"), "/".join(path), where)
    if kind == "image":
        return Leaf(path, LeafKind.IMAGE, str(content.get("dtype") or "uint8"), shape, node=called)
    if kind == "tensor":
        return _tensor(path, content, shape, where)
    return Leaf(path, LeafKind.OTHER, "", (), node=called)


def _tensor(path: Path, content: Mapping[str, Any], shape: Shape, where: str) -> Leaf:
    dtype, encoding = str(content.get("dtype")), content.get("encoding") or "none"
    if dtype in ("string", "object") and not shape:
        return Leaf(path, LeafKind.TEXT, dtype, shape, node=dtype)
    if encoding not in list(Encoding):
        raise InvalidInput(f"{'/'.join(path)} of {where} has the unknown encoding {json_words(encoding)}.")
    is_number = dtype == "bfloat16" or dtype in NUMBER_TYPES
    if dtype == "bfloat16" and encoding != "none":
        is_number = False  # NumPy has none of these
    return Leaf(path, LeafKind.TENSOR if is_number else LeafKind.OTHER, dtype, shape, Encoding(encoding), dtype)


NUMBER_TYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


def _shape(shape: Any, name: str, where: str) -> Shape:
    """As a message of protocol buffers, `{"dimensions": ["3", "-1"]}`; older versions wrote a list."""
    dimensions = shape.get("dimensions", []) if isinstance(shape, dict) else shape or []
    try:
        numbers = [-1 if each is None else int(each) for each in dimensions]
    except (TypeError, ValueError):
        numbers = [-2]
    if any(number < -1 or number > 2**31 for number in numbers):
        raise InvalidInput(f"{name} of {where} has no shape that can be read: {json_words(shape)}.")
    return tuple(None if number == -1 else number for number in numbers)


def tensor_node(dtype: np.dtype[Any], shape: tuple[int, ...], encoding: Encoding) -> dict[str, Any]:
    """What features.json says of an array."""
    name = "tensor_feature.Tensor" if shape or encoding != Encoding.NONE else "scalar.Scalar"
    tensor = {"dtype": dtype.name, "encoding": str(encoding), "shape": _dimensions(shape)}
    return {"pythonClassName": f"{CLASSES}.{name}", "tensor": tensor}


def image_node(shape: tuple[int, ...]) -> dict[str, Any]:
    """What features.json says of a picture that lies as PNG."""
    image = {"dtype": "uint8", "encodingFormat": "png", "shape": _dimensions(shape)}
    return {"pythonClassName": f"{CLASSES}.image_feature.Image", "image": image}


def text_node() -> dict[str, Any]:
    """What features.json says of a text."""
    return {"pythonClassName": f"{CLASSES}.text_feature.Text", "text": {}}


def dict_node(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """A node with others inside, whose names are paths below it."""
    features: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for name, node in leaves.items():
        key, _, rest = name.partition("/")
        if rest:
            inside.setdefault(key, {})[rest] = node
        else:
            features[key] = node
    features |= {key: dict_node(below) for key, below in inside.items()}
    return {
        "pythonClassName": f"{CLASSES}.features_dict.FeaturesDict",
        "featuresDict": {"features": dict(sorted(features.items()))},
    }


def steps_node(steps: Mapping[str, Any]) -> dict[str, Any]:
    """What features.json says of the steps of an episode."""
    return {
        "pythonClassName": f"{CLASSES}.dataset_feature.Dataset",
        "sequence": {"feature": dict_node(steps), "length": "-1"},
    }


def _dimensions(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"dimensions": [str(size) for size in shape]} if shape else {}
