"""What a trainer reads."""
