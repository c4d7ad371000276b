"""Draws from the distributions that networks describe, with numpy's generator instead of torch's global one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int64, Num

from pipeline.errors import InvalidInput


def categorical(logits: Float[np.ndarray, "n"], rng: np.random.Generator) -> int:
    """One of n choices, whose probabilities are the softmax of the logits; takes one number of the generator.

    A logit of minus infinity rules its choice out.
    """
    finite(np.maximum(logits, np.finfo(np.float32).min))
    weights = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    ends = np.cumsum(weights)
    return min(int(np.searchsorted(ends, rng.random() * ends[-1], side="right")), len(ends) - 1)


def bernoulli(logits: Float[np.ndarray, "n"], rng: np.random.Generator) -> Int64[np.ndarray, "n"]:
    """Zeros and ones; the chance of a one is the sigmoid of its logit."""
    chances = 1 / (1 + np.exp(-np.clip(finite(logits).astype(np.float64), -500, 500)))
    return (rng.random(logits.shape) < chances).astype(np.int64)


def normal(
    mean: Float[np.ndarray, "n"], deviation: Float[np.ndarray, "n"], rng: np.random.Generator
) -> Float32[np.ndarray, "n"]:
    """Numbers around the mean, each with its own standard deviation."""
    finite(mean)
    return np.asarray(mean + deviation * rng.standard_normal(mean.shape), np.float32)


def finite(values: Num[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
    """The same. Raises InvalidInput for NaN and infinity, of which no action can be made."""
    if not np.isfinite(values).all():
        raise InvalidInput("The policy's network gave NaN or infinity: its weights or its observations are damaged.")
    return values
