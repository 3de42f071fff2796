"""Every network call ends at its deadline, whatever the service sends: the thread is free, the connection closed."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flagrank.adapters import aws_clients, deadlines
from flagrank.adapters.api_keys import ApiKey
from flagrank.adapters.bedrock_rerank import request
from flagrank.adapters.deadlines import LOOKUPS, within
from flagrank.adapters.http_json import JsonService
from flagrank.adapters.http_rerank import HttpRerank
from flagrank.adapters.openai_llm import OpenAILLM
from flagrank.errors import RerankTimeout
from flagrank.rerank.answers import FORMS
from flagrank.rerank.prompting import build_prompt
from tests.adapters.loopback import DRIPPED_HEADS, Dripping

SHORT_S = 1.0
# far more than any deadline here, and far less than a drip would take
NEVER_S = 30.0
TURN: dict[str, Any] = {"role": "user", "content": [{"text": "?"}]}
MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/m"
PROMPT = build_prompt("space", ["a film"], FORMS["compact"])

CALLS: dict[str, Callable[[], Any]] = {
    "s3": lambda: aws_clients.s3_client().get_object(Bucket="b", Key="k")["Body"].read(),
    "files": lambda: aws_clients.files_client().get_object(Bucket="b", Key="k")["Body"].read(),
    "users": lambda: aws_clients.user_s3_client().get_object(Bucket="b", Key="k")["Body"].read(),
    "appconfigdata": lambda: (
        aws_clients.appconfigdata_client().get_latest_configuration(ConfigurationToken="t")["Configuration"].read()
    ),
    "dynamodb": lambda: aws_clients.dynamodb_client(2).get_item(TableName="tab", Key={"pk": {"S": "k"}}),
    "patient dynamodb": lambda: aws_clients.patient_dynamodb_client(2).get_item(
        TableName="tab", Key={"pk": {"S": "k"}}
    ),
    "bedrock-runtime": lambda: aws_clients.bedrock_client(1000, 2).converse(modelId="m", messages=[TURN]),
    "bedrock-agent-runtime": lambda: aws_clients.bedrock_rerank_client(1000, 2).rerank(**request("q", ["t"], MODEL)),
    "sqs": lambda: aws_clients.sqs_client(1).send_message(QueueUrl="http://queue.example/q", MessageBody="b"),
    "secretsmanager": lambda: aws_clients.secrets_client().get_secret_value(SecretId="s"),
    "embeddings": lambda: aws_clients.bedrock_embedding_client().invoke_model(modelId="m", body=b"{}")["body"].read(),
    "operator": lambda: aws_clients.operator_client("appconfig").list_applications(),
}


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lambda sets, and deadlines that a test can wait for."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in [name for name in vars(aws_clients) if name.endswith(("_TIMEOUT_S", "_CALL_S"))]:
        monkeypatch.setattr(aws_clients, name, SHORT_S)
    for name in [name for name in vars(aws_clients) if name.endswith("_ATTEMPTS")]:
        monkeypatch.setattr(aws_clients, name, 1)


def begin(call: Callable[[], Any]) -> Future[Any]:
    """The call on a thread that nobody has to wait for."""
    ended: Future[Any] = Future()

    def run() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return ended


def ending(call: Callable[[], Any]) -> BaseException | None:
    """How the call ended; fails the test if it did not."""
    return begin(call).exception(NEVER_S)


@pytest.mark.parametrize("name", CALLS)
def test_a_service_that_drips_is_given_up_and_hung_up_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for the whole call: a byte every 0.3 s keeps neither the thread nor the connection.

    Whether the status line, the headers or the body drips.
    """
    with Dripping(*DRIPPED_HEADS.values()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        calls = [begin(CALLS[name]) for _ in DRIPPED_HEADS]
        assert [type(call.exception(NEVER_S)) for call in calls] == [ReadTimeoutError] * 3
        assert all(server.hung_up.acquire(timeout=NEVER_S) for _ in calls)


@pytest.mark.parametrize("kind", [OpenAILLM, HttpRerank])
def test_a_provider_over_http_that_drips_is_given_up_and_hung_up_on(kind: Any) -> None:
    """As AWS is; there httpx's calls are cancelled."""
    with Dripping(*DRIPPED_HEADS.values()) as server, closing(JsonService(server.url, ApiKey(""), 3)) as service:

        def ask() -> Any:
            if kind is HttpRerank:
                return HttpRerank(service).rerank("q", ["t"], model_id="rerank:m", timeout_ms=1000)
            return OpenAILLM(service).complete(PROMPT, model_id="openai:m", max_output_tokens=9, timeout_ms=1000)

        calls = [begin(ask) for _ in DRIPPED_HEADS]
        assert [type(call.exception(NEVER_S)) for call in calls] == [RerankTimeout] * 3
        assert all(server.hung_up.acquire(timeout=NEVER_S) for _ in calls)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this host, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_a_drip_within_tls_is_given_up_as_well(certificate: Path) -> None:
    """AWS is asked over TLS, where one read of ours may be many of the socket's."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with Dripping(*DRIPPED_HEADS.values(), tls=context) as server:
        client = aws_clients._session().create_client("dynamodb", endpoint_url=server.url, verify=str(certificate))
        deadlines.limit_calls(client, SHORT_S)
        calls = [begin(client.list_tables) for _ in DRIPPED_HEADS]
        assert [type(call.exception(NEVER_S)) for call in calls] == [ReadTimeoutError] * 3
        assert all(server.hung_up.acquire(timeout=NEVER_S) for _ in calls)


def test_a_handshake_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers the handshake byte by byte has no more time than one that answers the call so."""
    # the head of a TLS record of 1,000 bytes, which then drips
    with Dripping(b"\x16\x03\x03\x03\xe8") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.replace("http:", "https:"))
        assert isinstance(ending(CALLS["dynamodb"]), BotoCoreError)
        assert server.hung_up.acquire(timeout=NEVER_S)


def test_a_service_that_never_takes_the_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full backlog leaves the connection half open."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{address[1]}")
        assert isinstance(ending(CALLS["dynamodb"]), ConnectTimeoutError)
        for each in waiting:
            each.close()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """A resolver that does not answer; released by each lookup that has begun."""
    begun, over = threading.Semaphore(0), threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        begun.release()
        over.wait(NEVER_S)
        raise socket.gaierror("nobody answered")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield begun
    over.set()


def test_a_name_that_is_not_looked_up_holds_few_threads_and_none_of_the_callers(
    resolver: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be freed is bounded: however many calls are made, two lookups of a name are under way."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://hangs.invalid")
    for _ in range(LOOKUPS + 1):
        assert isinstance(ending(CALLS["dynamodb"]), ConnectTimeoutError)
    assert all(resolver.acquire(timeout=NEVER_S) for _ in range(LOOKUPS))
    assert not resolver.acquire(blocking=False)


def test_a_name_without_an_address_is_no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's own error for it stays."""

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://unknown.invalid")
    assert isinstance(ending(CALLS["dynamodb"]), EndpointConnectionError)


def test_an_outer_deadline_ends_whatever_is_made_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several calls, and the attempts of one, may have one deadline together."""
    monkeypatch.setattr(aws_clients, "FILES_CALL_S", NEVER_S)
    monkeypatch.setattr(aws_clients, "FILES_TIMEOUT_S", NEVER_S)
    monkeypatch.setattr(aws_clients, "FILES_ATTEMPTS", 2)

    def call() -> None:
        with within(SHORT_S), within(NEVER_S):
            CALLS["files"]()

    with Dripping(b"") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert isinstance(ending(call), ReadTimeoutError | ConnectTimeoutError)


class KeptAlive(BaseHTTPRequestHandler):
    """Answers every call on the connection that it came by."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = orjson.dumps({"TableNames": [str(self.client_address[1])]})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keeps the test output clean."""


def test_a_connection_that_is_used_again_has_the_next_call_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline belongs to a call, and not to the connection, which is kept."""
    with ThreadingHTTPServer(("127.0.0.1", 0), KeptAlive) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        client, now_s = aws_clients.dynamodb_client(1), time.monotonic()
        ports = []
        for late_s in (0.0, 100.0):
            monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda late_s=late_s: now_s + late_s))
            ports += client.list_tables()["TableNames"]
        client.close()
        server.shutdown()
    assert len(ports) == 2
    assert ports[0] == ports[1]
