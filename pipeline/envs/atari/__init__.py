"""Atari 2600 through the Arcade Learning Environment."""
