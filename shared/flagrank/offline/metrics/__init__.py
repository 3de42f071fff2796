"""Ranking metrics: arrays by user, which reports aggregate.

Imports `offline.data` and `model`. `offline.training`, `offline.evaluation` and `cli` may import it.
"""
