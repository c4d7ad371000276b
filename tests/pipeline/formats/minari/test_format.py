"""Minari's form: the suite of every form, in each of its layouts."""

from pipeline.formats.minari.format import MinariFormat
from tests.contracts.format import FormatContract


class TestHdf5(FormatContract):
    def format(self):
        return MinariFormat()


class TestArrow(FormatContract):
    resumes = True

    def format(self):
        return MinariFormat(data="arrow")


class TestParquet(FormatContract):
    resumes = True

    def format(self):
        return MinariFormat(data="parquet")
