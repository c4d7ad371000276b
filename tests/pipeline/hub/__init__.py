"""The parts of publishing and fetching."""
