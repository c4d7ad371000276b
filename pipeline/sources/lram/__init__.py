"""LRAM's folders: a file an episode."""
