"""What chooses the actions."""
