"""Environment + policy → episodes, in worker processes; and the same episodes again."""
