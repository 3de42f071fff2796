"""The operator's page: what `flagrank console` serves on loopback. Pure but for its ports.

Imports `delivery`, `flags`, `domain`, `errors` and `ports`. Only `cli` may import it.
"""
