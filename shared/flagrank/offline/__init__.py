"""Learning: data, training, metrics, evaluation and publishing. Never part of the Lambda's request path.

Imports everything that serving is made of, and never the control wing. `cli` and `local` may import it.
"""
