"""Artifact sets on disk and in S3: written whole, and published by a pointer that moves last.

Imports `model` and `errors`. `cli` and `local` may import it.
"""
