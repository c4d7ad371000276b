"""Minari datasets out: as HDF5, Arrow or Parquet, as the package itself lays them out."""
