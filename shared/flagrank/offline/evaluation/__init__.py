"""Experiments through the serving code: what each stage and each part is worth, and the search for parameters.

Imports `offline.training`, `offline.metrics` and the serving wing. `cli` and `local` may import it.
"""
