"""Which arrays stand in the rows of REGENT's bins: observations, actions, rewards, and embeddings of pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.domains.atari import ACTIONS, LEVELS
from pipeline.domains.babyai import TOKENS
from pipeline.embedding.states import StateInputs
from pipeline.regent.bins import RowArray, action_key, bin_dtype, observation_key
from pipeline.regent.recipe import Inputs
from pipeline.regent.tokens import NO_TOKEN, Tokenizer, read_tokens, token_source

PICTURES, FRAMES = "image_observations", 4


@dataclass(frozen=True)
class BinsColumns:
    """What may be in the rows besides.

    Attributes:
        images: write the pictures, too: four grey screens of each state as float32, 11 GB for a game.
        upstream_json: beside the bins, the JSON files that the original code reads: hundreds of MB.
        tokenizer: of missions that were collected; ingested ones keep their tokens.
    """

    images: bool = False
    upstream_json: bool = False
    tokenizer: Tokenizer = field(default_factory=Tokenizer)


def row_parameters(inputs: Inputs, columns: BinsColumns) -> dict[str, object]:
    """What of the columns belongs to the identity of the bins."""
    more: dict[str, object] = {"upstream_json": True} if columns.upstream_json else {}
    if inputs.by_mission:
        return {"tokens": token_source(inputs.dataset, columns.tokenizer), **more}
    if inputs.embedding is None:
        return more
    return {"images": columns.images, **({"actions": actions} if (actions := _atari_actions(inputs)) else {}), **more}


def _atari_actions(inputs: Inputs) -> list[int]:
    """The place among all 18 of each action that was collected or logged; empty where nothing tells."""
    parameters = inputs.artifact.manifest.parameters
    if "source" in parameters:
        return list(parameters["source"].get("actions", []))
    return [ACTIONS.index(name) for name in parameters.get("environment", {}).get("actions", [])]


def row_warnings(inputs: Inputs, columns: BinsColumns) -> list[str]:
    """What the bins lack."""
    if inputs.by_mission and token_source(inputs.dataset, columns.tokenizer) == "none":
        return [
            f"The last {TOKENS} columns of the observations, the mission's tokens, are {NO_TOKEN}: "
            "give tokenizer.path=FILE for them. Distances do not use them."
        ]
    return []


def row_arrays(inputs: Inputs, columns: BinsColumns) -> list[RowArray]:
    """The arrays in the order in which they are written."""
    arrays = _observations(inputs, columns)
    return [*arrays, _stored(inputs, "action"), _stored(inputs, "reward")]


def _observations(inputs: Inputs, columns: BinsColumns) -> list[RowArray]:
    if inputs.by_mission:
        return [_with_tokens(inputs, columns.tokenizer)]
    if inputs.embedding is None:
        return [_stored(inputs, "observation")]
    vectors = RowArray(f"embeddings_{inputs.embedding}", inputs.vector_shape, np.dtype("<f4"), inputs.read)
    return [*([_pictures(inputs)] if columns.images else []), vectors]


def _stored(inputs: Inputs, name: str) -> RowArray:
    shape, dtype = inputs.dataset.spec(name)
    key = {"observation": observation_key(dtype), "reward": "rewards"}.get(name) or action_key(dtype, shape)

    def states(start: int, stop: int) -> np.ndarray:
        return inputs.dataset.state_rows(name, start, stop)

    return RowArray(key, shape, bin_dtype(dtype), states, shift=name == "reward")


def _with_tokens(inputs: Inputs, tokenizer: Tokenizer) -> RowArray:
    (width,), dtype = inputs.dataset.spec("observation")
    tokens = read_tokens(inputs.dataset, tokenizer)

    def states(start: int, stop: int) -> np.ndarray:
        seen = inputs.dataset.state_rows("observation", start, stop).astype(np.int32)
        return np.concatenate([seen, tokens(start, stop)], axis=1)

    return RowArray(observation_key(dtype), (width + TOKENS,), bin_dtype(dtype), states)


def _pictures(inputs: Inputs) -> RowArray:
    """Stacks of four grey screens as JAT has them, bit for bit."""
    label = inputs.retrieval.label
    seen = StateInputs(inputs.dataset, FRAMES, inputs.padding, label)

    def states(start: int, stop: int) -> np.ndarray:
        stacks = np.empty((stop - start, *seen.shape), np.uint8)
        seen.read(start, stop).take(np.arange(stop - start), stacks)
        return LEVELS[stacks]

    return RowArray(PICTURES, seen.shape, np.dtype("<f4"), states)
