"""The statistics of a rollout: what is counted, what is tolerated, and what the counts prove. Pure.

`measures` is the one table of what is judged. Imports `domain`, `errors` and `metric_names`. `delivery`,
`adapters.control`, `cli` and `local` may import it.
"""
