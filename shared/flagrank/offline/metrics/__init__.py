"""What a list is worth: per-user arrays that reports aggregate.

Imports `offline.data` and `model`. `offline.training`, `offline.evaluation` and `cli` may import it.
"""
