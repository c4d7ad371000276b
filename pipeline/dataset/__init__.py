"""A dataset: an ordered, growing list of episodes in immutable parts; written, read, checked."""
