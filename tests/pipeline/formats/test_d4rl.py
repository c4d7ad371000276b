from pipeline.formats.d4rl import D4rlFormat
from tests.contracts.format import FormatContract


class TestD4rl(FormatContract):
    def format(self) -> D4rlFormat:
        return D4rlFormat()
