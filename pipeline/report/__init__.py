"""The HTML page of a dataset: its figures, pictures and videos."""
