"""Measurements against peers, each in one run with its peer: `flagrank bench` and `tests/benchmarks` both use them.

Imports everything below it; `cli` imports it. What a measurement needs of the extra `bench` it imports itself.
"""
