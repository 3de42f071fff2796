"""One request, from an HTTP event to an answer with its metrics.

Imports `candidates`, `ranking`, `rerank`, `flags`, `model`, `ports` and `timing`, and never `delivery` or `adapters`.
`bootstrap`, `functions` and `offline.evaluation` may import it.
"""
