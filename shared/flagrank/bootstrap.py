"""The only place that makes clients and wires adapters to the pipeline."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fastapi import FastAPI

from flagrank.adapters import aws_clients
from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.s3_factors import S3FactorStore
from flagrank.adapters.system_clock import SystemClock
from flagrank.adapters.tiered_cache import TieredScoreCache
from flagrank.errors import FactorsUnavailable
from flagrank.ports import Clock, FactorStore, FlagSource, LLMClient, MetricsSink, ScoreCache
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.reranker import LLMReranker
from flagrank.serving.api import create_app
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.serving.service import Service
from flagrank.serving.telemetry import Telemetry
from flagrank.settings import Settings

INIT_FLAG_WAIT_MS = 2000.0


def build_app(environment: Mapping[str, str]) -> FastAPI:
    """The application over AWS, warmed up; raises ConfigurationError naming the variable that is wrong."""
    settings = Settings.from_env(environment)
    clock = SystemClock()
    flags = AppConfigFlagSource(
        aws_clients.appconfigdata_client(),
        application=settings.appconfig_application,
        environment=settings.appconfig_environment,
        profile=settings.appconfig_profile,
        clock=clock,
        poll_s=settings.flag_poll_s,
        max_age_s=settings.flag_max_age_s,
    )
    factors = S3FactorStore(aws_clients.s3_client(), settings.bucket, clock, poll_s=settings.factors_poll_s)
    # twice the calls of one request: those that the last request gave up on may still be timing out
    connections = 2 * settings.parallel_calls
    llm = BedrockLLM(
        lambda timeout_ms: aws_clients.bedrock_client(timeout_ms, connections),
        structured_output=None if settings.structured_output == "auto" else settings.structured_output,
        latency=settings.latency,
        service_tier=settings.service_tier,
    )
    table = DynamoDBScoreCache(aws_clients.dynamodb_client(connections), settings.table, clock)
    service = wire(settings, factors, flags, TieredScoreCache(table, clock), llm, EmfMetrics(), clock)
    factors.prepare_with(service.recommender.rules.over)
    warm_up(factors, flags)
    after_restore(flags)
    return create_app(service)


def wire(
    settings: Settings,
    factors: FactorStore,
    flags: FlagSource,
    cache: ScoreCache,
    llm: LLMClient,
    metrics: MetricsSink,
    clock: Clock,
) -> Service:
    """The service over any adapters."""
    executor = ThreadPoolExecutor(2 * settings.parallel_calls, "llm")
    judge = ListwiseJudge(llm, executor, settings.prices, settings.batch_items, settings.parallel_calls)
    reranker = LLMReranker(judge, cache, Breaker(clock), clock, executor, settings.cache_ttl_s)
    recommender = Recommender(factors, flags, reranker, RulesBySet(settings.rules), clock)
    return Service(recommender, Telemetry(metrics, factors, flags))


def warm_up(factors: FactorStore, flags: FlagSource) -> None:
    """Loads what the first request needs while nobody waits; nothing here may keep an environment from starting."""
    flags.current(INIT_FLAG_WAIT_MS)
    with suppress(FactorsUnavailable):
        factors.current()


def after_restore(flags: AppConfigFlagSource) -> None:
    """Under SnapStart, begins a new flag session after each restore: the one in the snapshot is stale by then."""
    try:
        from snapshot_restore_py import register_after_restore  # part of the Lambda runtime alone
    except ImportError:
        return
    register_after_restore(flags.reset)
