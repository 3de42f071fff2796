"""The statistics of a rollout: what is counted, what is tolerated, and what the counts prove. Pure.

Imports `domain`, `errors` and `metric_names`. `delivery`, `adapters.control`, `cli` and `local` may import it.
"""
