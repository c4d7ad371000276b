"""BAGEL's and NeMo Automodel's `unified_edit`: pictures, and between two of them equal wordings of the action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from pipeline.command import again
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.image_text.labels import Labels
from pipeline.formats.image_text.tokens import PictureTokens
from pipeline.formats.image_text.trainer import TrainerFormat, label_of
from pipeline.formats.image_text.trainer_rows import TaskRows, in_lists
from pipeline.formats.image_text.windows import EpisodeRows, RowSpans
from pipeline.formats.image_text.wordings import checked_wordings, longest_text, require_actions
from pipeline.formats.image_text.words import ActionTexts

WINDOW = 9
"""Pictures of a row. The trainer reads one window of two or three a pass: of longer rows it sees less."""

READ = 3
"""Pictures of the longest window that the trainer reads."""

INSTRUCTIONS = "instruction_list"


class BagelFormat(TrainerFormat):
    """Rows of pictures, with a list of equal wordings for each action between them, of which the trainer draws one.

    An episode gives T+1 pictures and T actions; where there is no last picture, T and T-1, and no row of one picture.

    Args:
        window: pictures of a row at most; unset: 9, or 2 where three are too many tokens for the trainer.
        wordings: texts for actions, by their lower-case names, or a YAML or JSON file of them. An action without any is
            called by its name.
        shards, max_tokens, file_mb, prefix, per_task: see `TrainerFormat`.
    """

    name = "bagel"
    text_columns: ClassVar[Mapping[str, pa.DataType]] = {INSTRUCTIONS: pa.list_(pa.list_(pa.string()))}

    def __init__(
        self,
        window: int | None = None,
        wordings: str | Mapping[str, Any] | None = None,
        shards: int = 64,
        max_tokens: int = 16384,
        file_mb: float = 512,
        prefix: str | None = None,
        per_task: bool = False,
    ) -> None:
        super().__init__(window, shards, max_tokens, file_mb, prefix, per_task)
        self._wordings = checked_wordings(wordings)

    def identity(self) -> Mapping[str, Any]:
        return {**super().identity(), "wordings": {name: list(texts) for name, texts in self._wordings.items()} or None}

    def require(self, data: Sequence[Outgoing]) -> None:
        require_actions(self._wordings, [ActionTexts(each.provenance["parameters"]) for each in data])
        super().require(data)

    def task_rows(self, data: Outgoing, tokens: PictureTokens) -> TaskRows:
        labels = Labels(data)
        longest = max(longest_text(labels.words, data, self._wordings), labels.longest_text())
        frames = self._frames(data, tokens, longest)

        def texts(
            actions: pa.StringArray, starts: Int64[np.ndarray, "rows"], spans: RowSpans
        ) -> Mapping[str, pa.Array]:
            first, stop = int(starts[0]), int(starts[-1] + spans.texts[-1])
            names = pc.utf8_lower(actions[first:stop]).dictionary_encode()
            pool = [self._wordings.get(name, (name,)) for name in names.dictionary.to_pylist()]
            wordings = pa.array(pool, pa.list_(pa.string())).take(names.indices)
            return {INSTRUCTIONS: in_lists(wordings, starts - first, spans.texts)}

        absent = ~data.dataset.per_episode("has_final_observation")
        windows = EpisodeRows(data.dataset.lengths - absent, frames, True)
        if not windows.rows:
            raise CannotHold(
                f"Of the {len(data)} episodes of {label_of([data])} none has two pictures, and the trainer learns from "
                f"one to the next. Write each picture with its action: {again(format='simple')}"
            )
        return TaskRows(data, labels, windows, tokens, texts)

    def _frames(self, data: Outgoing, tokens: PictureTokens, text: int) -> int:
        """Pictures of a row. Raises CannotHold where a window that the trainer reads has too many tokens for it."""
        fits = next((count for count in (READ, 2) if tokens.bagel(count, text) < self._max_tokens), 0)
        if not fits:
            needed = tokens.bagel(2, text) + 1
            raise CannotHold(
                f"Two pictures of {tokens.width} x {tokens.height} and an action of {label_of([data])} are up to "
                f"{needed - 1:,} tokens, and format.max_tokens={self._max_tokens}: the trainer drops such a sample. "
                f"Give it more, here and there: {again(format__max_tokens=needed)}"
            )
        if self._window is not None and self._window > fits == 2:
            raise CannotHold(
                f"Three pictures of {tokens.width} x {tokens.height} with their actions are up to "
                f"{tokens.bagel(READ, text):,} tokens, and format.max_tokens={self._max_tokens}: of longer rows the "
                f"trainer drops such windows. Two pictures fit: {again(format__window=2)}"
            )
        return self._window or (WINDOW if fits == READ else 2)
