"""What the config group `embedding` sets, and what of it changes the vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from pipeline.embedding.compiler import missing_tools
from pipeline.embedding.networks import Network
from pipeline.embedding.preprocessing import LAYOUTS, Picture
from pipeline.embedding.weights import weights_identity
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.extras import extra_versions
from pipeline.wording import check_count

PADDINGS = ("first", "zero")
DTYPES = ("float32", "bfloat16", "float16")
COMPILE = (True, False, "auto", "openvino")

WIDTHS = {"cpu": 16, "cuda": 128}
"""Inputs of every batch that a network sees, by kind of device. Other widths round in another way: on one CPU eight
and sixty-four gave the same bits and one did not, and on a GPU the library chooses its algorithm by the width. So the
width is fixed, the last batch is padded, and `embedding.batch` says only how many states are prepared at a time."""


@dataclass(frozen=True)
class Embedding:
    """One way from a state's pictures to a vector. Made without loading a network.

    Attributes:
        name: names the network in labels such as `resnet18_512`.
        network: builds it.
        features: numbers that it gives for one picture.
        weights: a file, the name of published weights, or `random`; None is an error that says where to get them.
        seed: of random weights.
        picture: how a picture is prepared; None takes what belongs to the weights.
        width: keep the first numbers of a vector; None keeps all.
        frames: newest observations that one input holds.
        layout: `vertical` (one above the other, oldest on top), `channels` (three grey ones as red, green, blue) or
            `each` (each alone, their vectors joined, oldest first).
        padding: what stands before an episode's first observation: `first` (that observation, as envpool, with which
            JAT's frames were recorded, does at a game's start) or `zero`. Stored stacks are used as they are, and
            the rule that a source has recorded wins.
        batch: states that are read and prepared at once; changes no vector.
        dtype: in which the network computes, `float32`, `bfloat16` or `float16`; vectors are float32 always.
        device: `cpu`, `cuda`, `cuda:1` ...
        compile: `auto` compiles by torch where a compiler is, True must, False does not; `openvino` computes by
            OpenVINO, on a CPU.

    Raises InvalidInput for values that cannot be.
    """

    name: str
    network: Network
    features: int
    weights: str | None
    picture: Picture | None
    seed: int
    width: int | None
    frames: int
    layout: str
    padding: str
    batch: int
    dtype: str
    device: str
    compile: bool | Literal["auto", "openvino"]

    def __post_init__(self) -> None:
        for key, known in (("layout", LAYOUTS), ("padding", PADDINGS), ("dtype", DTYPES)):
            if getattr(self, key) not in known:
                raise unknown_name(f"embedding.{key}", str(getattr(self, key)), known)
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise InvalidInput(f"embedding.device={self.device} is no device: use cpu, cuda or cuda:1.")
        if self.compile not in COMPILE:
            raise InvalidInput(f"embedding.compile={self.compile} is none of auto, true, false and openvino.")
        if self.compile == "openvino" and self.device_class != "cpu":
            raise InvalidInput(
                f"embedding.compile=openvino computes on the CPU, and embedding.device={self.device}. Use "
                "embedding.compile=auto there."
            )
        for key in ("features", "frames", "batch"):
            check_count(f"embedding.{key}", getattr(self, key))
        if self.layout == "channels" and self.frames != 3:
            raise InvalidInput(
                f"embedding.layout=channels shows three frames as red, green and blue; embedding.frames={self.frames}. "
                "Use embedding.frames=3, or another layout."
            )
        if self.width is not None and not 1 <= self.width <= self.all_dimensions:
            raise InvalidInput(
                f"embedding.width={self.width}: a vector of {self.name} has {self.all_dimensions} numbers, and the "
                f"first ones are kept. Use 1 to {self.all_dimensions}, or leave it out."
            )

    @property
    def all_dimensions(self) -> int:
        """Numbers of one vector before `width` cuts it."""
        return self.features * (self.frames if self.layout == "each" else 1)

    @property
    def dimensions(self) -> int:
        """Numbers of one vector."""
        return self.width or self.all_dimensions

    @property
    def label(self) -> str:
        """`resnet18_512`, as REGENT writes it."""
        return f"{self.name}_{self.dimensions}"

    @property
    def device_class(self) -> str:
        """`cpu` or `cuda`."""
        return self.device.split(":")[0]

    @property
    def engine(self) -> str:
        """`compiled`, `eager` or `openvino`: what `compile` comes to on this machine."""
        if self.compile == "auto":
            return "eager" if missing_tools(self.device_class) else "compiled"
        if self.compile == "openvino":
            return "openvino"
        return "compiled" if self.compile else "eager"

    def prepared(self) -> Picture:
        """How pictures are prepared. Raises InvalidInput where a crop would cut frames away."""
        picture = self.picture or self.network.picture(self.weights)
        if picture is None:
            raise InvalidInput(
                f"embedding.picture is not set, and {self.name} knows no preparation of its own: size, mean and so on."
            )
        if self.layout == "vertical" and self.frames > 1 and picture.crop is not None:
            raise InvalidInput(
                f"embedding.layout=vertical makes one tall picture of {self.frames} frames, and the preparation of "
                f"{self.name} cuts its middle out. Use embedding.layout=each, embedding.frames=1, or "
                "embedding.frames=3 embedding.layout=channels."
            )
        return picture

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes vectors, as JSON. Reads the weights' file, loads no network.

        Raises InvalidInput for weights that are not set or not there, and for OpenVINO that is not installed.
        """
        return {
            "network": dict(self.network.identity()),
            "weights": dict(weights_identity(self.network, self.weights, self.seed)),
            "preparation": {
                "frames": self.frames,
                "layout": self.layout if self.frames > 1 else None,
                "padding": self.padding if self.frames > 1 else None,
                **self.prepared().identity(),
            },
            "dimensions": self.dimensions,
            "numerics": {
                "engine": self.engine,
                "dtype": self.dtype,
                "device": self.device_class,
                "width": WIDTHS[self.device_class],
                "torch": version("torch").split("+")[0],
                **(extra_versions("openvino", "openvino") if self.engine == "openvino" else {}),
            },
        }
