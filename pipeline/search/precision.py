"""Products in float32 as IEEE has them: no TF32, no bfloat16, whatever the caller allows elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.errors import PipelineError


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


def check_products(device: torch.device) -> None:
    """Raise PipelineError where a float32 product rounds its factors: the bound would not hold."""
    depth, factor = 64, 1 + 2.0**-12  # TF32 and bfloat16 make 1 of this
    sides = torch.full((2, depth, depth), factor, dtype=torch.float32, device=device)
    error = (torch.mm(sides[0], sides[1]).double() - depth * factor**2).abs().max().item()
    if not error <= depth * factor**2 * depth * 2.0**-24:
        raise PipelineError(
            f"Search on {device}: wanted float32 products exact to rounding, found an error of {error:.1e} in {depth}; "
            "something in this process or its environment allows TF32 or bfloat16. Turn it off, or use device cpu"
        )
