"""What the tests of a search share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.search import bytewise


@pytest.fixture(scope="module")
def floats_alone() -> Iterator[None]:
    """No products of bytes, as on a processor that has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bytewise, "has_vnni", lambda: False)
        yield
