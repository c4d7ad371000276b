"""OGBench's files: what `load_dataset` reads of them, and that all else comes back."""

from __future__ import annotations

from pipeline.formats.ogbench import OgbenchFormat
from tests.contracts.format import FormatContract
from tests.episodes import Kinds


class TestOgbench(FormatContract):
    kinds = Kinds(nested=False)

    def format(self) -> OgbenchFormat:
        return OgbenchFormat()


class TestUncompressed(TestOgbench):
    def format(self) -> OgbenchFormat:
        return OgbenchFormat(compression="none", validation=0)
