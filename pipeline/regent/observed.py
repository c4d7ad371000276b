"""What of a task's observations is compared, and what of them stands in the rows: vectors, pictures or missions.

The chain chooses one of three small classes and asks no further. `vectors` and `pictures` may both have missions as
their pools; `missions` are the vectors of BabyAI, whose rows end with the mission's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.pictures import is_picture
from pipeline.dataset.reader import EpisodeDataset
from pipeline.domains.atari import ACTIONS, LEVELS
from pipeline.domains.babyai import TOKENS
from pipeline.embedding.artifact import EMBEDDINGS
from pipeline.embedding.settings import Embedding
from pipeline.embedding.states import StateInputs
from pipeline.errors import InvalidInput
from pipeline.regent.bins import RowArray, action_key, bin_dtype, observation_key
from pipeline.regent.rows import ReadStates
from pipeline.regent.tokens import NO_TOKEN, Tokenizer, read_tokens, token_source
from pipeline.storage.contract import ReadableArray

PICTURES, FRAMES = "image_observations", 4


@runtime_checkable
class Observed(Protocol):
    """What the chain asks of observations."""

    @property
    def network(self) -> str:
        """Names the network and the width of its vectors, `resnet18_512`; empty where observations are vectors."""

    def sources(self) -> list[Artifact]:
        """What vectors are read from besides the episodes. Raises ArtifactNotFound where it is missing."""

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "n d"]:
        """The vectors that are compared, as they are stored, at a range of flat states."""

    def arrays(self) -> list[RowArray]:
        """What stands in the rows, in the order in which it is written."""

    def parameters(self) -> dict[str, object]:
        """What of the rows belongs to the identity of the bins."""

    def warnings(self) -> list[str]:
        """What the rows lack."""


@dataclass(frozen=True)
class ObservedVectors:
    """Vectors are compared and stand in the rows as they are; of an observation of several axes all its numbers."""

    dataset: EpisodeDataset
    network: str = ""

    def sources(self) -> list[Artifact]:
        return []

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "n d"]:
        return self.dataset.state_rows("observation", start, stop).reshape(stop - start, self._width)

    def arrays(self) -> list[RowArray]:
        _, dtype = self.dataset.spec("observation")
        return [RowArray(observation_key(dtype), (self._width,), bin_dtype(dtype), self.read)]

    def parameters(self) -> dict[str, object]:
        return {}

    def warnings(self) -> list[str]:
        return []

    @property
    def _width(self) -> int:
        return math.prod(self.dataset.spec("observation")[0])


@dataclass(frozen=True)
class ObservedMissions(ObservedVectors):
    """Vectors are compared; in the rows the mission's 64 tokens follow each of them."""

    tokenizer: Tokenizer = Tokenizer()  # noqa: RUF009  # Tokenizer is frozen, so one default can be shared

    def arrays(self) -> list[RowArray]:
        _, dtype = self.dataset.spec("observation")

        @cache  # the tokenizer is loaded once, when the first row is written
        def tokens() -> ReadStates:
            return read_tokens(self.dataset, self.tokenizer)

        def states(start: int, stop: int) -> Shaped[np.ndarray, "n d"]:
            return np.concatenate([self.read(start, stop).astype(np.int32), tokens()(start, stop)], axis=1)

        return [RowArray(observation_key(dtype), (self._width + TOKENS,), bin_dtype(dtype), states)]

    def parameters(self) -> dict[str, object]:
        return {"tokens": token_source(self.dataset, self.tokenizer)}

    def warnings(self) -> list[str]:
        if token_source(self.dataset, self.tokenizer) != "none":
            return []
        return [
            f"The last {TOKENS} columns of the observations, the mission's tokens, are {NO_TOKEN}: "
            "give tokenizer.path=FILE for them. Distances do not use them."
        ]


@dataclass(frozen=True)
class ObservedPictures:
    """A network's vectors of pictures are compared and stand in the rows, on request after the pictures.

    Attributes:
        embedding: with the padding that the dataset's own stacks had.
        images: whether the pictures stand in the rows.
        actions: the place among all 18 of each action of the dataset; empty where that is not known.
        embedded: finds the artifact of the vectors.
        label: names the task in messages.
    """

    dataset: EpisodeDataset
    embedding: Embedding
    images: bool
    actions: Sequence[int]
    embedded: Callable[[], Artifact]
    label: str

    @property
    def network(self) -> str:
        return self.embedding.label

    @cached_property
    def _source(self) -> Artifact:
        return self.embedded()

    @cached_property
    def _vectors(self) -> ReadableArray:
        return self._source.open()[EMBEDDINGS]

    def sources(self) -> list[Artifact]:
        return [self._source]

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "n d"]:
        return self._vectors[start:stop]

    def arrays(self) -> list[RowArray]:
        width = (self.embedding.dimensions,)
        vectors = RowArray(f"embeddings_{self.network}", width, np.dtype("<f4"), self.read)
        return [self._pictures(), vectors] if self.images else [vectors]

    def parameters(self) -> dict[str, object]:
        return {"images": self.images, **({"actions": list(self.actions)} if self.actions else {})}

    def warnings(self) -> list[str]:
        return []

    def _pictures(self) -> RowArray:
        """Stacks of four grey screens as JAT has them, bit for bit."""
        seen = StateInputs(self.dataset, FRAMES, self.embedding.padding, self.label)

        def states(start: int, stop: int) -> Shaped[np.ndarray, "n 4 height width"]:
            stacks = np.empty((stop - start, *seen.shape), np.uint8)
            seen.read(start, stop).take(np.arange(stop - start), stacks)
            return LEVELS[stacks]

        return RowArray(PICTURES, seen.shape, np.dtype("<f4"), states)


def stored_array(dataset: EpisodeDataset, name: str) -> RowArray:
    """The actions or rewards of the dataset as an array of the bins."""
    shape, dtype = dataset.spec(name)
    key = "rewards" if name == "reward" else action_key(dtype, shape)

    def states(start: int, stop: int) -> Shaped[np.ndarray, "n *shape"]:
        return dataset.state_rows(name, start, stop)

    return RowArray(key, shape, bin_dtype(dtype), states, shift=name == "reward")


def shows_pictures(dataset: EpisodeDataset) -> bool:
    """Whether each observation is one picture, or a stack of them."""
    return "observation" in dataset.array_names() and is_picture(*dataset.spec("observation"))


def require_numbers(dataset: EpisodeDataset, label: str) -> None:
    """Raises InvalidInput unless each observation is one array with at least one number."""
    names = [name for name in dataset.array_names() if name.split("/")[0] == "observation"]
    if names != ["observation"]:
        shapes = ", ".join(f"{name} {list(dataset.spec(name)[0])}" for name in names)
        raise InvalidInput(
            f"Retrieval compares vectors; the observations of {label}, dataset {dataset.name}, are {shapes}. Join them "
            "to one array where they are made, such as by gymnasium.wrappers.FlattenObservation."
        )
    shape, dtype = dataset.spec("observation")
    if math.prod(shape) == 0:
        raise InvalidInput(
            f"Retrieval compares numbers; the array observation of {dataset.name} has none: each row is {dtype} "
            f"{list(shape)}. Collect it from an environment that shows something."
        )


def flattening_note(dataset: EpisodeDataset) -> str:
    """What a reader of neighbours should know where an observation is neither a vector nor a picture; else empty."""
    shape, dtype = dataset.spec("observation")
    if len(shape) == 1 or is_picture(shape, dtype):
        return ""
    numbers = math.prod(shape)
    return f"An observation, {dtype} {list(shape)}, is no picture: it is compared as the list of its {numbers} numbers."


def atari_actions(episodes: Artifact) -> list[int]:
    """The place among all 18 of each action that was collected or logged; empty where that is not known."""
    parameters = episodes.manifest.parameters
    if "source" in parameters:
        return list(parameters["source"].get("actions", []))
    return [ACTIONS.index(name) for name in parameters.get("environment", {}).get("actions", [])]
