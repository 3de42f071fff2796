"""Where a request's items come from. Serving and training call the same functions. Pure.

Imports `domain` and `model`. `serving` and `offline` may import it.
"""
