"""What the tests of a search share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.search import bytewise, index


@pytest.fixture(scope="module")
def floats_alone() -> Iterator[None]:
    """No products of bytes, as on a processor that has none, and no strips: what is left to panels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bytewise, "has_vnni", lambda: False)
        patch.setattr(index, "FEW", 0)
        yield
