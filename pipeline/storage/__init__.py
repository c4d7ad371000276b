"""How arrays lie on disk: zarr (compressed, sharded) or bin (raw, memory mapped)."""
