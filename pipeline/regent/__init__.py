"""REGENT's retrieval data (arXiv:2412.04759): queries, pools, neighbours, distances, bins, parquet."""
