from pipeline.formats.image_text.bagel import BagelFormat
from pipeline.formats.image_text.thinkmorph import ThinkMorphFormat
from tests.contracts.one_way import OneWayContract


class TestBagel(OneWayContract):
    def format(self):
        return BagelFormat()


class TestThinkMorph(OneWayContract):
    def format(self):
        return ThinkMorphFormat()
