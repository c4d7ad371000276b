"""LRAM's folders: a file an episode, for the trainers of ml-jku/LRAM."""
