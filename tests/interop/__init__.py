"""Heavy readers of other projects, and random damage to foreign files: make test-interop."""
