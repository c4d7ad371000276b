"""BabyAI's actions, and its observations as JAT has them: the grid, and the mission as tokens.

Source: huggingface/jat, `processing_jat.py`.
"""

from __future__ import annotations

from pipeline.episode import INFO

MOVES = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
"""The actions, in order."""

GRID = 148
"""Integers of one step: the direction, then the 7 x 7 cells of 3 numbers in C order."""

TOKENS = 64
"""Token ids that follow them in JAT's rows and REGENT's bins."""

MISSION_TOKENS = f"{INFO}mission_tokens"
"""The step array that holds the tokens of ingested data, (T+1, 64) int32."""
