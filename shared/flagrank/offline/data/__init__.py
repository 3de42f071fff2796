"""Where interactions and items come from: MovieLens, CSV, the synthetic shop, and splits of them.

Imports `domain`, `errors` and `model`. The rest of `offline` and `cli` may import it.
"""
