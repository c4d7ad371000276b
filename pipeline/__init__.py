"""The library: episodes, datasets, retrieval, distances, bins and tables."""
