"""The Jack of All Trades dataset (JAT), 157 tasks in parquet."""
