"""Agents of Stable-Baselines3, read without running the code in them."""
