"""Flagrank: a serverless recommender whose LLM reranker ships behind a flag."""
