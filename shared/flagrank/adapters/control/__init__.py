"""The back-ends of the control wing: AppConfig's control plane and CloudWatch, or memory.

Imports `adapters`, `delivery` and `flags`. `cli`, `local` and the guard's function may import it; `serving` may not.
"""
