"""The one place that imports torchvision."""

from __future__ import annotations

from types import ModuleType
from typing import Any

_declared: list[Any] = []  # a library of operators lives as long as the object that made it


def torchvision() -> ModuleType:
    """The package torchvision, also where it was built for another torch.

    Beside a torch for the CPU, the torchvision of the package index (built for CUDA) cannot load its compiled
    operators, and its import fails because two of them do not exist. Networks and transforms need neither: their
    schemas are declared, and the import is tried again.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
        _declare()
        import torchvision
    return torchvision


def _declare() -> None:
    from torch import library as operators

    make: Any = operators.Library  # it has no types
    library = make("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
