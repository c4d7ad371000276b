"""Pictures to vectors: what a network sees of a state, its weights, and how it runs."""
