"""Foreign data out: one file for each form, the mirror of `pipeline.sources`."""
