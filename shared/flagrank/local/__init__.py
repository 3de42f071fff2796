"""The local cloud: stand-ins for AWS on loopback, and the real handlers in processes that live like Lambda's.

Imports `offline`, `adapters`, `delivery` and `ports`. `cli` alone may import it.
"""
