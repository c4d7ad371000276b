"""Foreign files, damaged in every way that a seed can think of: what is read is sound, or refused in plain words."""
