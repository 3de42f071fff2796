"""What traffic costs: the calls that it makes of each service, priced by one dated list.

Pure arithmetic. Imports `rerank`; `cli` and `benchmarks` import it.
"""
