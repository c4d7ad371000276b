"""What a stage made: its identity, its manifest, where it lies, and how it becomes final."""
