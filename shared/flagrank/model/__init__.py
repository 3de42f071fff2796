"""What is published: the factors, the features, Stage 2 and the artifact format. Pure.

Imports `domain` and `errors`. All three wings may import it.
"""
