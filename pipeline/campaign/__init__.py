"""Several stages for several tasks: which tasks, in which order, what failed."""
