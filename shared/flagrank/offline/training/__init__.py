"""From interactions to a set: ALS, item neighbours, texts, and Stage 2.

Imports `offline.data`, `offline.metrics`, `candidates`, `model` and `rerank.intent`. `offline.evaluation` and `cli` may
import it.
"""
