"""Tests of the recorders for running programs."""
