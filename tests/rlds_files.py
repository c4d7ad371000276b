"""RLDS datasets in the layout of TensorFlow Datasets, written by protocol buffers' own code and plain Python."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

Features = dict[str, Any]


@cache
def example_class() -> Any:
    """tf.train.Example, from a description of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    one, many = {"label": kinds.LABEL_OPTIONAL}, {"label": kinds.LABEL_REPEATED}
    for name, kind in (("Bytes", kinds.TYPE_BYTES), ("Float", kinds.TYPE_FLOAT), ("Int64", kinds.TYPE_INT64)):
        file.message_type.add(name=f"{name}List").field.add(name="value", number=1, type=kind, **many)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), 1):
        of = {"type": kinds.TYPE_MESSAGE, "type_name": f".t.{name}List", "oneof_index": 0}
        feature.field.add(name=f"{name.lower()}_list", number=number, **of, **one)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, **one)
    entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".t.Feature", **one)
    entries = {"type": kinds.TYPE_MESSAGE, "type_name": ".t.Features.FeatureEntry"}
    features.field.add(name="feature", number=1, **entries, **many)
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, type=kinds.TYPE_MESSAGE, type_name=".t.Features", **one)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def record(values: Mapping[str, Any]) -> bytes:
    """An Example: real numbers, whole ones, and lists of texts or bytes, by key."""
    example = example_class()()
    for key, value in values.items():
        feature = example.features.feature[key]
        if isinstance(value, list):
            feature.bytes_list.value.extend(each.encode() if isinstance(each, str) else each for each in value)
        elif np.asarray(value).dtype.kind == "f":
            feature.float_list.value.extend(np.asarray(value).ravel().tolist())
        else:
            feature.int64_list.value.extend(np.asarray(value).ravel().astype(np.int64).tolist())
    return bytes(example.SerializeToString(deterministic=True))


def crc32c(data: bytes) -> int:
    """Bit by bit, as the polynomial says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def tfrecord(records: Sequence[bytes]) -> bytes:
    """The content of a TFRecord file."""
    lengths = [struct.pack("<Q", len(each)) for each in records]
    return b"".join(n + masked(n) + each + masked(each) for n, each in zip(lengths, records, strict=True))


def tensor(dtype: str, *shape: int, encoding: str = "none") -> Features:
    size = {"dimensions": [str(each) for each in shape]} if shape else {}
    return {"pythonClassName": "x.Tensor", "tensor": {"dtype": dtype, "shape": size, "encoding": encoding}}


def image(*shape: int, form: str = "png") -> Features:
    size = {"dimensions": [str(each) for each in shape]}
    return {"pythonClassName": "x.Image", "image": {"dtype": "uint8", "shape": size, "encodingFormat": form}}


def text() -> Features:
    return {"pythonClassName": "x.Text", "text": {}}


def nested(features: Features) -> Features:
    return {"pythonClassName": "x.FeaturesDict", "featuresDict": {"features": features}}


def sequence(feature: Features) -> Features:
    return {"pythonClassName": "x.Sequence", "sequence": {"feature": feature, "length": "-1"}}


def write_tfds(
    folder: Path,
    steps: Features,
    records: Sequence[Sequence[bytes]],
    once: Features | None = None,
    split: str = "train",
    **info: Any,
) -> Path:
    """A version's folder with one file for each list of records."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"set-{split}.tfrecord-{n:05}-of-{len(records):05}" for n in range(len(records))]
    for name, each in zip(names, records, strict=True):
        (folder / name).write_bytes(tfrecord(each))
    lengths = [str(len(each)) for each in records]
    said = {"name": "set", "version": "1.0.0", "splits": [{"name": split, "shardLengths": lengths}], **info}
    (folder / "dataset_info.json").write_text(json.dumps(said))
    (folder / "features.json").write_text(json.dumps(nested({"steps": sequence(nested(steps)), **(once or {})})))
    return folder


STEPS: Features = {
    "observation": nested({"state": tensor("float32", 3), "small": tensor("int8", 2)}),
    "action": tensor("int64"),
    "reward": tensor("float32"),
    "discount": tensor("float32"),
    "is_first": tensor("bool"),
    "is_last": tensor("bool"),
    "is_terminal": tensor("bool"),
    "language_instruction": text(),
}
ONCE: Features = {"episode_id": tensor("int64"), "file": text()}


def walk(number: int, length: int, terminal: bool, **changed: Any) -> dict[str, Any]:
    """The values of an episode with `length` steps in `STEPS`, by key."""
    rng, rows = np.random.default_rng(number), length + 1
    lasts = np.arange(rows) == length
    discount = np.where(np.arange(rows) < length - terminal, np.float32(1), np.float32(0))
    values = {
        "steps/observation/state": rng.normal(size=(rows, 3)).astype(np.float32),
        "steps/observation/small": rng.integers(-128, 128, (rows, 2)),
        "steps/action": np.where(lasts, 0, rng.integers(0, 4, rows)),
        "steps/reward": np.where(lasts, 0, rng.choice([0.0, 0.1, 1.0], rows)).astype(np.float32),
        "steps/discount": discount,
        "steps/is_first": np.arange(rows) == 0,
        "steps/is_last": lasts,
        "steps/is_terminal": lasts & terminal,
        "steps/language_instruction": ["pick up the red ball"] * rows,
        "episode_id": number,
        "file": [f"logs/{number}.npz"],
    }
    return {name: value for name, value in (values | changed).items() if value is not None}


def write_walks(folder: Path, count: int = 4) -> None:
    """A small dataset in two files."""
    walks = [record(walk(number, 2 + number, number % 2 == 0)) for number in range(count)]
    write_tfds(folder, STEPS, [walks[:1], walks[1:]], ONCE)


def write_pictures(folder: Path, count: int = 3) -> None:
    """As robots are recorded: pictures, tensors as bytes, packed ones, texts, and a third episode that is invalid."""
    steps = STEPS | {
        "observation": nested(
            {
                "image": image(8, 9, 3),
                "wrist": image(8, 9, 3, form="jpeg"),
                "depth": tensor("uint16", 2, 3, encoding="zlib"),
                "joints": tensor("float64", 4, encoding="bytes"),
                "hint": text(),
            }
        )
    }
    once = ONCE | {"invalid": tensor("bool"), "goal": tensor("float32", 3)}
    write_tfds(folder, steps, [[_with_pictures(number) for number in range(count)]], once)


def _with_pictures(number: int) -> bytes:
    rng, rows = np.random.default_rng(number), 3 + number
    pixels = rng.integers(0, 256, (rows, 8, 9, 3), np.uint8)
    values = {
        "steps/observation/image": [_file(each, "PNG") for each in pixels],
        "steps/observation/wrist": [_file(each, "JPEG") for each in pixels],
        "steps/observation/depth": [zlib.compress(bytes(rng.integers(0, 99, 12, np.uint8))) for _ in pixels],
        "steps/observation/joints": [rng.normal(size=4).tobytes() for _ in pixels],
        "steps/observation/hint": ["left", *["right"] * (rows - 1)],
        "steps/observation/state": None,
        "steps/observation/small": None,
        "invalid": number == 2,
        "goal": rng.normal(size=3).astype(np.float32),
    }
    return record(walk(number, rows - 1, True, **values))


def _file(pixels: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()
