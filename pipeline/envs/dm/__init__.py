"""Environments of dm_env: the DeepMind control suite, and the user's own."""
