"""Downloads in small ranges."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.remote import download
from tests.pipeline.remote.downloads import RANGE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloads, which come in ranges of `RANGE` bytes."""
    monkeypatch.setattr(download, "RANGE_BYTES", RANGE)
    return tmp_path / "here"
