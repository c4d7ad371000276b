"""Recording what a running program does: wrappers of its environments, and the log that their episodes go to."""
