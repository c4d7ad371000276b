"""Heavy readers of other projects: make test-interop."""
