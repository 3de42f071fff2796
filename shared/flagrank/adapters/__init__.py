"""One module for each port of the serving wing and its back-end: AWS, or memory for tests and experiments.

Imports `ports` and what the ports speak of. `bootstrap`, `functions`, `cli`, `local` and `offline` may import it.
"""
