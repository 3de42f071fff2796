"""The only place that makes clients and wires adapters to the pipeline."""

import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from flagrank.adapters import aws_clients
from flagrank.adapters.api_keys import ApiKey, SecretKey
from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.bedrock_llm import BedrockLLM
from flagrank.adapters.bedrock_rerank import BedrockRerank
from flagrank.adapters.dynamodb_cache import DynamoDBScoreCache
from flagrank.adapters.dynamodb_judgements import DynamoDBJudgementLog
from flagrank.adapters.emf_metrics import EmfMetrics
from flagrank.adapters.guarded_cache import GuardedScoreCache
from flagrank.adapters.s3_factors import BEHIND_THE_REQUESTS, S3FactorStore, Sizes
from flagrank.adapters.s3_users import S3UserStore
from flagrank.adapters.snapshots import survive_snapshots
from flagrank.adapters.sqs_queue import SqsJudgementQueue
from flagrank.adapters.system_clock import SystemClock
from flagrank.adapters.tiered_cache import TieredScoreCache
from flagrank.flags.document import FlagDocument
from flagrank.metric_names import WARM_SERVICE
from flagrank.ports import (
    Clock,
    FactorStore,
    FlagSource,
    JudgementLog,
    JudgementQueue,
    LLMClient,
    MetricsSink,
    RerankClient,
    ScoreCache,
    UserStore,
)
from flagrank.rerank.breaker import Breaker
from flagrank.rerank.handoff import Handoff
from flagrank.rerank.judge import Judge
from flagrank.rerank.keeping import KeepingJudge
from flagrank.rerank.listwise import ListwiseJudge
from flagrank.rerank.providers import BEDROCK, OPENAI, RERANK
from flagrank.rerank.rerank_models import RerankModelJudge
from flagrank.rerank.reranker import LLMReranker
from flagrank.rerank.routing import RoutingJudge
from flagrank.rerank.spending import Allowance
from flagrank.rerank.warming import Warmer
from flagrank.rerank.worker import Worker
from flagrank.serving.known_users import KnownUsers
from flagrank.serving.pipeline import Recommender
from flagrank.serving.resolve_rules import RulesBySet
from flagrank.serving.service import Service
from flagrank.serving.telemetry import Telemetry
from flagrank.settings import JudgingSettings, PublicationSettings, Settings, WorkerSettings

if TYPE_CHECKING:
    from flagrank.warming.batches import Batches
    from flagrank.warming.publication import Queued
    from flagrank.warming.warmup import Warmup

INIT_FLAG_WAIT_MS = 2000.0
# what comes before the first request of an environment may take 10 s; what comes before a snapshot, minutes
INIT_FACTORS_WAIT_S = 4.0
SNAPSHOT_FACTORS_WAIT_S = 60.0
ON_DEMAND = "on-demand"
# pools of their own, so that a service that hangs holds nobody else's threads; the flag and the factors have theirs
HANDOFF_THREADS = 2
CACHE_THREADS = 6
PROBE_THREADS = 1


@dataclass(frozen=True, slots=True)
class Models:
    """The models' clients by provider, None where the environment is not configured for one."""

    bedrock: LLMClient
    openai: LLMClient | None = None
    rerank: RerankClient | None = None


@dataclass(frozen=True, slots=True)
class Adapters:
    """What a service is wired to. `background` is where tasks are handed over; None: threads of its own.

    `log` keeps judgements for training; None: none are kept. `users` is for sets that do not hold theirs in memory.
    """

    factors: FactorStore
    flags: FlagSource
    cache: ScoreCache
    models: Models
    queue: JudgementQueue
    metrics: MetricsSink
    background: Executor | None = None
    log: JudgementLog | None = None
    users: UserStore | None = None


def build_service(environment: Mapping[str, str]) -> Service:
    """The service over AWS, warmed up; raises ConfigurationError naming the variable that is wrong."""
    settings = Settings.from_env(environment)
    clock = SystemClock()
    flags = _flags(settings, clock)
    sizes = Sizes(users_in_memory_bytes=settings.users_in_memory_mb << 20)
    factors = S3FactorStore(aws_clients.s3_client(), settings.bucket, clock, settings.factors_poll_s, sizes)
    # twice the calls of one request: those that the last request gave up on may still be timing out
    connections = 2 * settings.parallel_calls
    table = _table(settings, clock, CACHE_THREADS + PROBE_THREADS + HANDOFF_THREADS)
    guarded = GuardedScoreCache(table, clock, ThreadPoolExecutor(PROBE_THREADS, "cache-probe"))
    cache = TieredScoreCache(guarded, clock)
    queue = SqsJudgementQueue(aws_clients.sqs_client(HANDOFF_THREADS), settings.queue_url)
    adapters = Adapters(
        factors,
        flags,
        cache,
        _models(settings, connections, clock),
        queue,
        EmfMetrics(),
        log=_log(settings, clock, HANDOFF_THREADS),
        users=S3UserStore(aws_clients.user_s3_client, settings.bucket),
    )
    service = wire(settings, adapters, clock)
    factors.prepare_with(service.recommender.prepare)
    warm_up(factors, flags, is_patient=environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", ON_DEMAND) != ON_DEMAND)
    survive_snapshots(flags.reset)
    return service


def build_worker(environment: Mapping[str, str]) -> Worker:
    """The queue's worker over AWS; raises ConfigurationError naming the variable that is wrong."""
    settings = WorkerSettings.from_env(environment)
    clock = SystemClock()
    flags = _flags(settings, clock)
    calls = settings.parallel_tasks * settings.parallel_calls
    # the table itself: a worker must not take what it remembers for what the others have written
    cache = _table(settings, clock, settings.parallel_tasks)
    log = _log(settings, clock, settings.parallel_tasks)
    judge = _judge(settings, _models(settings, calls, clock), ThreadPoolExecutor(calls, "llm"), log)
    warmer = Warmer(judge, cache, Breaker(clock), clock, time.sleep, settings.cache_ttl_s, Allowance(cache))
    executor = ThreadPoolExecutor(settings.parallel_tasks, "task")
    flags.current(INIT_FLAG_WAIT_MS)
    return Worker(
        warmer, cache, flags, clock, EmfMetrics(WARM_SERVICE), EmfMetrics(), executor, settings.task_max_age_s
    )


def build_warmup(
    environment: Mapping[str, str], document: FlagDocument, batch_role: str | None, parallel_calls: int | None
) -> "tuple[Warmup, Batches]":
    """What judges ahead of the requests over AWS, in an operator's process; `parallel_calls` None: as in a request.

    Raises ConfigurationError naming the variable that is wrong, and FactorsUnavailable.
    """
    # no function's cold start pays for what only an operator uses
    from flagrank.adapters.bedrock_batch import BedrockBatch
    from flagrank.warming.batches import Batches

    settings = Settings.from_env(environment)
    calls = parallel_calls or settings.parallel_calls
    warmup = _warmup(settings.model_copy(update={"parallel_calls": calls}), document, SystemClock())
    bedrock = aws_clients.operator_client("bedrock", attempts=2)
    service = BedrockBatch(bedrock, aws_clients.files_client(), settings.bucket, batch_role)
    return warmup, Batches(service, warmup.warmer, document, settings.prices, settings.batch_items)


def queue_active_users(environment: Mapping[str, str]) -> "Queued":
    """Queues the profile intents of the most active users over AWS, under the set and the flag in force by now.

    Raises ConfigurationError naming the variable that is wrong, FactorsUnavailable, CacheUnavailable, QueueUnavailable.
    """
    from flagrank.warming.publication import queue_active

    settings = PublicationSettings.from_env(environment)
    clock = SystemClock()
    # without a flag nobody is treated, and nothing is queued
    document = _flags(settings, clock).current(INIT_FLAG_WAIT_MS).document or FlagDocument()
    queue = SqsJudgementQueue(aws_clients.sqs_client(1), settings.queue_url)
    return queue_active(_warmup(settings, document, clock), settings.active_users, queue)


def _warmup(settings: Settings, document: FlagDocument, clock: Clock) -> "Warmup":
    from flagrank.warming.warmup import Warmup

    calls = settings.parallel_calls
    log = _log(settings, clock, calls)
    judge = _judge(settings, _models(settings, calls, clock), ThreadPoolExecutor(calls, "llm"), log)
    # the table itself: a warm-up must not take what it remembers for what the others have written
    cache = DynamoDBScoreCache(aws_clients.patient_dynamodb_client(calls), settings.table, clock)
    warmer = Warmer(judge, cache, Breaker(clock), clock, time.sleep, settings.cache_ttl_s, Allowance(cache))
    # whose heads are wanted is chosen among all users
    sizes = Sizes(users_in_memory_bytes=None)
    s3 = aws_clients.files_client()
    factors = S3FactorStore(s3, settings.bucket, clock, sizes=sizes, patience=BEHIND_THE_REQUESTS).current()
    return Warmup(factors, document, RulesBySet(settings.rules), warmer, settings.prices, settings.batch_items, calls)


def wire(settings: Settings, adapters: Adapters, clock: Clock) -> Service:
    """The service over any adapters."""
    llm = ThreadPoolExecutor(2 * settings.parallel_calls, "llm")
    cache = ThreadPoolExecutor(CACHE_THREADS, "cache")
    background = adapters.background or ThreadPoolExecutor(HANDOFF_THREADS, "handoff")
    handoff = Handoff(adapters.cache, adapters.queue, clock, background)
    judge = _judge(settings, adapters.models, llm, adapters.log, background)
    money, ttl_s = Allowance(adapters.cache), settings.cache_ttl_s
    reranker = LLMReranker(judge, adapters.cache, Breaker(clock), clock, cache, ttl_s, handoff, money)
    users = KnownUsers(adapters.users, Breaker(clock))
    recommender = Recommender(adapters.factors, adapters.flags, reranker, RulesBySet(settings.rules), clock, users)
    return Service(recommender, Telemetry(adapters.metrics, adapters.factors, adapters.flags, handoff), handoff)


def _flags(settings: JudgingSettings, clock: Clock) -> AppConfigFlagSource:
    return AppConfigFlagSource(
        aws_clients.appconfigdata_client(),
        application=settings.appconfig_application,
        environment=settings.appconfig_environment,
        profile=settings.appconfig_profile,
        clock=clock,
        poll_s=settings.flag_poll_s,
        max_age_s=settings.flag_max_age_s,
    )


def _table(settings: JudgingSettings, clock: Clock, connections: int) -> DynamoDBScoreCache:
    return DynamoDBScoreCache(aws_clients.dynamodb_client(connections), settings.table, clock)


def _models(settings: JudgingSettings, connections: int, clock: Clock) -> Models:
    bedrock = BedrockLLM(
        lambda timeout_ms: aws_clients.bedrock_client(timeout_ms, connections),
        structured_output=None if settings.structured_output == "auto" else settings.structured_output,
        latency=settings.latency,
        service_tier=settings.service_tier,
    )
    return Models(bedrock, _openai(settings, connections, clock), _rerank(settings, connections, clock))


def _openai(settings: JudgingSettings, connections: int, clock: Clock) -> LLMClient | None:
    if settings.openai_url is None:
        return None
    # imported here: a deploy that asks nobody over HTTP does not wait for httpx at its start
    from flagrank.adapters.http_json import JsonService
    from flagrank.adapters.openai_llm import OpenAILLM

    key = _key(settings.openai_key, settings.openai_key_secret, clock)
    return OpenAILLM(JsonService(settings.openai_url, key, connections), settings.openai_structured_output)


def _rerank(settings: JudgingSettings, connections: int, clock: Clock) -> RerankClient | None:
    if settings.rerank_model_id:
        return BedrockRerank(lambda timeout_ms: aws_clients.bedrock_rerank_client(timeout_ms, connections))
    if settings.rerank_url is None:
        return None
    from flagrank.adapters.http_json import JsonService
    from flagrank.adapters.http_rerank import HttpRerank

    key = _key(settings.rerank_key, settings.rerank_key_secret, clock)
    return HttpRerank(JsonService(settings.rerank_url, key, connections))


def _key(key: SecretStr, secret_id: str, clock: Clock) -> ApiKey | SecretKey:
    return SecretKey(aws_clients.secrets_client(), secret_id, clock) if secret_id else ApiKey(key.get_secret_value())


def _log(settings: JudgingSettings, clock: Clock, connections: int) -> JudgementLog | None:
    days = settings.keep_judgements_days
    return DynamoDBJudgementLog(aws_clients.dynamodb_client(connections), settings.table, clock, days) if days else None


def _judge(
    settings: JudgingSettings,
    models: Models,
    executor: Executor,
    log: JudgementLog | None,
    background: Executor | None = None,
) -> Judge:
    def listwise(llm: LLMClient) -> ListwiseJudge:
        return ListwiseJudge(llm, executor, settings.prices, settings.batch_items, settings.parallel_calls)

    judges: dict[str, Judge] = {BEDROCK: listwise(models.bedrock)}
    if models.openai is not None:
        judges[OPENAI] = listwise(models.openai)
    if models.rerank is not None:
        judges[RERANK] = RerankModelJudge(models.rerank, executor, settings.prices, settings.rerank_scores)
    return KeepingJudge(RoutingJudge(judges), log, background) if log else RoutingJudge(judges)


def warm_up(factors: S3FactorStore, flags: FlagSource, *, is_patient: bool) -> None:
    """Loads what the first request needs; nothing here may keep an environment from starting.

    `is_patient` where no request waits for the start: before a snapshot, and where concurrency is provisioned.
    """
    flags.current(INIT_FLAG_WAIT_MS)
    factors.load(SNAPSHOT_FACTORS_WAIT_S if is_patient else INIT_FACTORS_WAIT_S)
