"""Foreign datasets in."""
