"""The treated arm's part of a request: the intent, the question to the LLM, and the scores that come of it.

Imports `domain`, `errors`, `flags`, `model`, `ports`, `timing` and `ranking`. Pure but for its ports. `serving`,
`adapters`, `settings`, `bootstrap` and `offline` may import it.
"""
