"""One adapter per simulator family."""
