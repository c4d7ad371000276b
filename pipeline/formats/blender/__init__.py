"""What RLHF-Blender shows and asks people about: videos, arrays, and a registry of experiments."""
