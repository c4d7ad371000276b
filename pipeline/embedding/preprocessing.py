"""From uint8 frames to what a network sees, on the network's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import InvalidInput, unknown_name

if TYPE_CHECKING:
    import torch

LAYOUTS = ("vertical", "channels", "each")
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Picture:
    """How a picture with values from 0 to 1 is prepared: resized, cut, normalised; grey ones get three equal channels.

    Attributes:
        size: the shorter side, or (height, width) whatever the aspect; None does not resize.
        crop: side of the square that is kept from the middle; None keeps all.
        antialias: whether a smaller picture is made from averages.
        rounded: whether the resized picture is rounded to the 256 values of uint8, as torchvision does with uint8.
        mean: of each channel, subtracted.
        std: of each channel, divided by.
    """

    size: int | Sequence[int] | None
    crop: int | None
    interpolation: str
    antialias: bool
    rounded: bool
    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise unknown_name("embedding.picture.interpolation", self.interpolation, INTERPOLATIONS)
        if not isinstance(self.size, int | None) and len(self.size) != 2:
            raise InvalidInput(f"embedding.picture.size is one number or [height, width]; it is {list(self.size)}.")
        for key in ("mean", "std"):
            if len(getattr(self, key)) != 3:
                raise InvalidInput(f"embedding.picture.{key} has a number for each of three channels.")

    def identity(self) -> Mapping[str, Any]:
        """All of it, as JSON."""
        return {key: list(value) if isinstance(value, list | tuple) else value for key, value in vars(self).items()}


def prepare(frames: torch.Tensor, layout: str, picture: Picture) -> torch.Tensor:
    """(b, 3, h, w) float32 from uint8 frames (b, f, H, W), or (b, f, H, W, 3) in colour; (b * f, ...) for `each`."""
    return normalise(resize(arrange(frames, layout), picture), picture)


def arrange(frames: torch.Tensor, layout: str) -> torch.Tensor:
    """(b, c, h, w): the frames of each input as one picture, or as pictures one after the other for `each`."""
    planes = frames.unsqueeze(2) if frames.ndim == 4 else frames.permute(0, 1, 4, 2, 3)
    inputs, count, channels, height, width = planes.shape
    if layout == "each":
        return planes.reshape(inputs * count, channels, height, width)
    if layout == "channels":
        return planes.reshape(inputs, count * channels, height, width)
    return planes.transpose(1, 2).reshape(inputs, channels, count * height, width)


def resize(pictures: torch.Tensor, picture: Picture) -> torch.Tensor:
    """Values from 0 to 1, float32, resized and cut.

    JAT holds (pixel / 255 - 0.5) / 0.5, which REGENT takes times 0.5 plus 0.5: pixel / 255 but for 3e-8 of rounding.
    """
    import torch.nn.functional as functional

    values = pictures.float() if picture.rounded else pictures.float() / 255
    height, width = target(pictures.shape[-2], pictures.shape[-1], picture)
    if (height, width) != tuple(pictures.shape[-2:]):
        values = functional.interpolate(
            values, (height, width), mode=picture.interpolation, align_corners=False, antialias=picture.antialias
        )
    if picture.rounded:
        values = values.clamp(0, 255).round()
    if picture.crop is not None:
        top, left = round((height - picture.crop) / 2), round((width - picture.crop) / 2)
        values = values[..., top : top + picture.crop, left : left + picture.crop]
    return values / 255 if picture.rounded else values


def normalise(values: torch.Tensor, picture: Picture) -> torch.Tensor:
    """Minus mean, by standard deviation; one channel becomes three."""
    mean = values.new_tensor(picture.mean).view(3, 1, 1)
    std = values.new_tensor(picture.std).view(3, 1, 1)
    return (values - mean) / std


def target(height: int, width: int, picture: Picture) -> tuple[int, int]:
    """Height and width after resizing. Raises InvalidInput where less is left than is to be cut out."""
    if isinstance(picture.size, int):
        short, long = min(height, width), max(height, width)
        other = int(picture.size * long / short)
        height, width = (picture.size, other) if height <= width else (other, picture.size)
    elif picture.size is not None:
        height, width = picture.size
    if picture.crop is not None and min(height, width) < picture.crop:
        raise InvalidInput(
            f"A picture of {height} x {width} has no middle of {picture.crop} x {picture.crop}: raise "
            "embedding.picture.size, or lower embedding.picture.crop."
        )
    return height, width
