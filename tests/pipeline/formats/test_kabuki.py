from pipeline.formats.kabuki import KabukiFormat
from tests.contracts.format import FormatContract


class TestKabuki(FormatContract):
    def format(self) -> KabukiFormat:
        return KabukiFormat()
