"""The flag document, who is treated by it, and how documents compare. Pure.

Imports `domain` and `errors`. All three wings may import it.
"""
