"""ThinkMorph's `unified_edit`: a picture, a prompt, then texts and pictures in turns, all with loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from pipeline.command import again
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.image_text.labels import Labels
from pipeline.formats.image_text.names import title
from pipeline.formats.image_text.tokens import PictureTokens
from pipeline.formats.image_text.trainer import TrainerFormat, label_of
from pipeline.formats.image_text.trainer_rows import TaskRows, in_lists
from pipeline.formats.image_text.windows import EpisodeRows, RowSpans
from pipeline.formats.image_text.wordings import longest_text

PROMPT, OUTPUTS = "instruction_list", "output_text_list"


class ThinkMorphFormat(TrainerFormat):
    """Rows of pictures and of the action at each: the trainer learns what to do, and what is seen next.

    An episode gives T pictures and T actions: the last one stands behind the last picture of its row.

    Args:
        window: pictures of a row at most; unset: as many as fit into `max_tokens`.
        shards, max_tokens, file_mb, prefix, per_task: see `TrainerFormat`.
    """

    name = "thinkmorph"
    holds = frozenset({Aspect.MISSIONS})
    text_columns: ClassVar[Mapping[str, pa.DataType]] = {PROMPT: pa.list_(pa.string()), OUTPUTS: pa.list_(pa.string())}

    def task_rows(self, data: Outgoing, tokens: PictureTokens) -> TaskRows:
        labels = Labels(data)
        prompts = pa.array(_prompts(data, labels), pa.string())
        longest = max(len(prompt.encode()) for prompt in set(prompts.to_pylist()))
        frames = self._frames(data, tokens, longest, max(longest_text(labels.words, data), labels.longest_text()))

        def texts(
            actions: pa.StringArray, starts: Int64[np.ndarray, "rows"], spans: RowSpans
        ) -> Mapping[str, pa.Array]:
            first, stop = int(starts[0]), int(starts[-1] + spans.texts[-1])
            names = pc.utf8_lower(actions[first:stop])
            rows = len(starts)
            return {
                PROMPT: in_lists(prompts.take(pa.array(spans.episodes)), np.arange(rows), np.ones(rows, np.int64)),
                OUTPUTS: in_lists(names, starts - first, spans.texts),
            }

        return TaskRows(data, labels, EpisodeRows(data.dataset.lengths, frames, False), tokens, texts)

    def _frames(self, data: Outgoing, tokens: PictureTokens, prompt: int, text: int) -> int:
        """Pictures of a row. Raises CannotHold where so many, or two, have too many tokens for the trainer."""
        most = tokens.most_thinkmorph(self._max_tokens, prompt, text)
        wanted = self._window or max(most, 2)
        if wanted <= most:
            return wanted
        needed = tokens.thinkmorph(wanted, wanted, prompt, text) + 1
        fewer = f"\nOr take fewer pictures: {again(format__window=most)}" if most >= 2 else ""
        raise CannotHold(
            f"{wanted} pictures of {tokens.width} x {tokens.height} with the texts of {label_of([data])} are up to "
            f"{needed - 1:,} tokens, and format.max_tokens={self._max_tokens}: the trainer drops such a row. Give it "
            f"more, here and there: {again(format__max_tokens=needed)}{fewer}"
        )


def _prompts(data: Outgoing, labels: Labels) -> list[str]:
    """What each episode's rows begin with: `Atari Alien Environment (randomness=0.2). Actions: noop, fire, up.`"""
    environment, names = title(data, labels.environment), labels.words.names
    actions = f" Actions: {', '.join(name.lower() for name in names)}." if names else ""
    missions = [f" Mission: {mission}." if mission else "" for mission in data.dataset.texts("mission")]
    return [
        f"{environment} Environment (randomness={each.chance_words}).{mission}{actions}"
        for each, mission in zip(labels.episodes(0, len(data)), missions, strict=True)
    ]
