"""A serverless recommender whose LLM reranker ships behind a flag.

Three wings share `domain`, `model`, `flags` and `ports`, and do not know each other:

- serving answers a request: `candidates`, `ranking`, `rerank`, `serving`;
- control raises and lowers the share of treated users: `delivery`, `delivery.analysis`, `adapters.control`;
- learning trains, evaluates and publishes: `offline`. It measures what serves, so it also imports the serving wing.

Imports run down one list of packages: `tests/packaging/test_dependencies.py`. `infra/concepts.md` has the picture.
"""
