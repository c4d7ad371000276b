"""LRAM's files keep what every format must, and lose what they say."""

from __future__ import annotations

from pipeline.formats.lram.format import LramFormat
from tests.contracts.format import FormatContract
from tests.episodes import Kinds

FLAT = Kinds(nested=False, missing_ends=True, wide_rewards=False)


class TestHdf5(FormatContract):
    kinds = FLAT
    resumes = True

    def format(self) -> LramFormat:
        return LramFormat("hdf5")
