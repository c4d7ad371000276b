"""Some episodes of a dataset, as a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from pipeline.episode import Episode

if TYPE_CHECKING:
    from pipeline.dataset.reader import EpisodeDataset


class EpisodeSlice(Sequence[Episode]):
    """Some episodes of a dataset, in the order of `numbers`; each is read when it is asked for."""

    def __init__(self, dataset: EpisodeDataset, numbers: range) -> None:
        self._dataset, self._numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> EpisodeSlice: ...
    def __getitem__(self, index: int | slice) -> Episode | EpisodeSlice:
        if isinstance(index, slice):
            return EpisodeSlice(self._dataset, self._numbers[index])
        if not -len(self) <= index < len(self):
            raise no_episode(index, repr(self), len(self))
        return self._dataset[self._numbers[index]]

    def __iter__(self) -> Iterator[Episode]:
        if self._numbers.step == 1:
            return self._dataset._between(self._numbers.start, self._numbers.stop)
        return (self._dataset[number] for number in self._numbers)

    def __repr__(self) -> str:
        numbers = self._numbers
        return f"{self._dataset.name}[{numbers.start}:{numbers.stop}{f':{numbers.step}' if numbers.step != 1 else ''}]"


def no_episode(index: int, where: str, count: int) -> IndexError:
    """The error for an episode that a dataset, or a piece of one, does not have."""
    return IndexError(
        f"episode {index} of {where}, which has {f'{count}: {-count} to {count - 1}' if count else 'none'}"
    )
