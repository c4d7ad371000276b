"""The DQN Replay Dataset: 60 Atari games, five runs each, as the agent's logger left them."""
