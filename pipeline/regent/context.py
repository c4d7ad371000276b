"""The context of a query in REGENT (arXiv:2412.04759): its first 19 retrieved states, then the query itself."""

RETRIEVED = 19
"""Retrieved states in a context; also the fewest neighbours that retrieval may keep."""

CONTEXT = RETRIEVED + 1
"""All states of a context."""
