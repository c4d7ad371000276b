"""The Jack of All Trades dataset (JAT), 157 tasks in parquet: `from pipeline.sources.jat import JatSource`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.sources.jat.source import JatSource

__all__ = ["JatSource"]

if not TYPE_CHECKING:  # a type checker would take any name to exist

    def __getattr__(name: str) -> Any:
        """Import the source when it is asked for (PEP 562): who needs `maps` alone loads no parquet reader."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
        from pipeline.sources.jat.source import JatSource

        return JatSource
