"""How each AWS client waits: few attempts, a total deadline for each, explicit timeouts, warm connections.

botocore multiplies a timeout by its attempts, and `max_attempts=1` still allows a retry, hence `total_max_attempts`.
A timeout is how long a service may be silent; where nothing else is said, it is also how long a call may take.
"""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from botocore.config import Config
from botocore.session import Session, get_session

from flagrank.adapters.deadlines import limit_calls

CONNECT_TIMEOUT_S = 1.0
FLAG_TIMEOUT_S = 3.0
CACHE_TIMEOUT_S = 0.5
QUEUE_TIMEOUT_S = 2.0
QUEUE_ATTEMPTS = 2
FACTORS_TIMEOUT_S = 3.0
FACTORS_CALL_S = 30.0
FACTORS_ATTEMPTS = 2
FACTORS_CONNECTIONS = 8
USER_TIMEOUT_S = 0.5
USER_CONNECTIONS = 4
# whole artifact sets and the files of a batch, up or down
FILES_TIMEOUT_S = 30.0
FILES_CALL_S = 3600.0
FILES_ATTEMPTS = 3
EMBEDDING_TIMEOUT_S = 60.0
EMBEDDING_ATTEMPTS = 8
EMBEDDING_CONNECTIONS = 8
OPERATOR_TIMEOUT_S = 5.0
OPERATOR_CALL_S = 15.0
# as long as an item takes to come from another continent, and not so often that a sum would be added to twice
PATIENT_CACHE_TIMEOUT_S = 5.0
KEY_TIMEOUT_S = 1.0
MAX_CLIENTS = 4

_made: WeakSet[Any] = WeakSet()


def s3_client() -> Any:
    """For the factors that serve, with a connection for each part of a file. What an object may take, its size says."""
    return _client("s3", FACTORS_TIMEOUT_S, FACTORS_CONNECTIONS, FACTORS_ATTEMPTS, call_s=FACTORS_CALL_S)


def files_client() -> Any:
    """For an operator's files in S3, which may be large: patient, since only the operator waits."""
    return _client("s3", FILES_TIMEOUT_S, FACTORS_CONNECTIONS, FILES_ATTEMPTS, call_s=FILES_CALL_S)


def user_s3_client() -> Any:
    """For one user's row: on the request's path, so a slow answer is worth no more than none."""
    return _client("s3", USER_TIMEOUT_S, USER_CONNECTIONS)


def appconfigdata_client() -> Any:
    """For the flag: polled in the background, so a slow answer costs nobody anything."""
    return _client("appconfigdata", FLAG_TIMEOUT_S, 1)


def dynamodb_client(connections: int) -> Any:
    """For the score cache: on the request's path, so a slow answer is worth no more than none."""
    return _client("dynamodb", CACHE_TIMEOUT_S, connections)


def sqs_client(connections: int) -> Any:
    """For the queue of tasks: behind the requests, so that a slow answer costs nobody anything."""
    return _client("sqs", QUEUE_TIMEOUT_S, connections, QUEUE_ATTEMPTS)


def patient_dynamodb_client(connections: int) -> Any:
    """For the score cache, asked by an operator's process: nobody waits for it, and it may be far away."""
    return _client("dynamodb", PATIENT_CACHE_TIMEOUT_S, connections)


def bedrock_client(timeout_ms: int, connections: int) -> Any:
    """For the LLM: whatever it sends, at its timeout a call has ended, and its thread is free."""
    return _client("bedrock-runtime", timeout_ms / 1000, connections)


def bedrock_rerank_client(timeout_ms: int, connections: int) -> Any:
    """For rerank models: as for the LLM."""
    return _client("bedrock-agent-runtime", timeout_ms / 1000, connections)


def secrets_client() -> Any:
    """For a provider's key: on the first request's path, and read again every few minutes."""
    return _client("secretsmanager", KEY_TIMEOUT_S, 1)


def bedrock_embedding_client() -> Any:
    """For embeddings: offline work that can wait its turn."""
    return _client("bedrock-runtime", EMBEDDING_TIMEOUT_S, EMBEDDING_CONNECTIONS, EMBEDDING_ATTEMPTS)


def operator_client(service: str, attempts: int = 1) -> Any:
    """For an operator's commands: somebody waits, and has to hear within seconds that a service is silent."""
    return _client(service, OPERATOR_TIMEOUT_S, 1, attempts, call_s=OPERATOR_CALL_S)


class ClientsByTimeout:
    """Clients that `client_for` makes, each for a timeout in ms: it belongs to the client, not to the call."""

    def __init__(self, client_for: Callable[[int], Any]) -> None:
        self._client_for = client_for
        self._clients: dict[int, Any] = {}
        self._lock = threading.Lock()

    def of(self, timeout_ms: int) -> Any:
        """The client for a timeout. A flag that changes it needs another one; few are ever in use."""
        with self._lock:
            if timeout_ms not in self._clients:
                if len(self._clients) >= MAX_CLIENTS:
                    self._clients.pop(next(iter(self._clients)))
                self._clients[timeout_ms] = self._client_for(timeout_ms)
            return self._clients[timeout_ms]


def _client(service: str, timeout_s: float, connections: int, attempts: int = 1, *, call_s: float | None = None) -> Any:
    config = Config(
        connect_timeout=min(timeout_s, CONNECT_TIMEOUT_S),
        read_timeout=timeout_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=connections,
        tcp_keepalive=True,
        # of S3: factors are checked against their manifest, and what operators write is sent with its checksum
        response_checksum_validation="when_required",
    )
    # botocore reads AWS_DEFAULT_REGION alone, and a shell may have set the name that every other SDK reads
    client = _session().create_client(service, region_name=os.environ.get("AWS_REGION") or None, config=config)
    limit_calls(client, call_s or timeout_s)
    _made.add(client)
    return client


def close_connections() -> None:
    """Closes what every client holds open; it connects anew when it is asked again."""
    for client in _made:
        client.close()


@functools.cache
def _session() -> Session:
    # boto3 would add resources and file transfers, which nobody uses, and a tenth of a start
    return get_session()
