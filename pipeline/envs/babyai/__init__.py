"""BabyAI levels of MiniGrid, and the package's own expert."""
