"""A package of your own, as small as it can be: one environment, and its name for Gymnasium."""

from gymnasium import register

register("MyEnv-v0", entry_point="my_package.envs:MyEnv", max_episode_steps=200)
