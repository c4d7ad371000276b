"""Products in float32 as IEEE has them, or in TF32 where a bound knows of it, whatever the caller allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.errors import PipelineError

DEPTH = 64  # of the product that is tried


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products are IEEE float32 inside, whatever the caller allows elsewhere; nothing is differentiated."""
    with torch.no_grad(), torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
        legacy, current = _precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            if legacy is not None:
                torch.set_float32_matmul_precision(legacy)
            for backend, precision in current:
                backend.fp32_precision = precision


def _precision() -> tuple[str | None, list[tuple[Any, str]]]:
    """Torch's setting for float32 products; since 2.9 also one for each backend, which may contradict the old one."""
    backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    current = [(backend, backend.fp32_precision) for backend in backends if hasattr(backend, "fp32_precision")]
    try:
        return torch.get_float32_matmul_precision(), current
    except RuntimeError:  # they do contradict each other: the new one holds
        return None, current


@contextmanager
def tensor_cores(device: torch.device) -> Iterator[None]:
    """Inside `full_precision`: a GPU may round the factors of float32 products to TF32. A processor never does."""
    if device.type != "cuda":
        yield
        return
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def check_products(device: torch.device) -> None:
    """Raise PipelineError where a float32 product rounds its factors: the bound would not hold."""
    error = _error(device, 1 + 2.0**-12)  # TF32 and bfloat16 make 1 of this
    if not error <= DEPTH * 2.0**-24:
        raise PipelineError(
            f"Search on {device}: wanted float32 products exact to rounding, found a relative error of {error:.1e}; "
            "something in this process or its environment allows TF32 or bfloat16. Turn it off, or use device cpu"
        )


def tensor_cores_read_tf32(device: torch.device) -> bool:
    """Whether products in tensor cores keep 11 bits of each factor, or as good as keep them: bfloat16 has 8."""
    with tensor_cores(device):
        return _error(device, 1 + 2.0**-10) <= 2.0**-15 + DEPTH * 2.0**-22


def _error(device: torch.device, factor: float) -> float:
    """The largest relative error in a product of matrices that hold one number."""
    sides = torch.full((2, DEPTH, DEPTH), factor, dtype=torch.float32, device=device)
    right = DEPTH * factor**2
    return float((torch.mm(sides[0], sides[1]).double() - right).abs().max()) / right
