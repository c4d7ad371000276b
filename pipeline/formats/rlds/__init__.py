"""Datasets as RLDS episodes on disk, as TensorFlow Datasets reads them."""
