"""Trees of RLHF-Blender: episodes that people were shown, as arrays of one checkpoint of an experiment."""
