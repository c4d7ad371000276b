"""Logs of EnvLogger (google-deepmind/envlogger), read by its own package in an environment of its own."""
