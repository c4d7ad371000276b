"""Minari's form: the suite of every form, and what is Minari's own."""

from pipeline.formats.minari.format import MinariFormat
from tests.contracts.format import FormatContract


class TestHdf5(FormatContract):
    def format(self):
        return MinariFormat()


class TestSegments(TestHdf5):
    """Each episode is a segment."""

    def format(self):
        return MinariFormat(segment=1)
