"""Progressive delivery of the flag: deployments, ramps, rollback and the guard. Pure but for its ports.

Imports `flags`, `ports` and `delivery.analysis`, and never the serving wing. `adapters.control`, `cli`, `local` and the
guard's function may import it.
"""
