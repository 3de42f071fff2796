"""The order of a list: scores, the operator's rules, diversity. Pure, and alike in both arms.

Imports `domain`, `errors` and `model`. `rerank`, `serving`, `settings` and `offline` may import it.
"""
