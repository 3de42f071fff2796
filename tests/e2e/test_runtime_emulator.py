"""The built function under AWS's Lambda Runtime Interface Emulator: what `sam build` made, as Lambda runs it."""

import json
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flagrank.local.cloud import LocalCloud
from tests.sam import BASE_PYTHON, ROOT, RUN_S, run_in_sam_environment, samcli_folder, uv

# `sam build` for this machine, so that it can run here
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
RUNTIME_CLIENT = "awslambdaric==4.2.2"
HANDLER = "functions.recommend.app.handler"
INVOCATIONS = "/2015-03-31/functions/function/invocations"
START_S = 30

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam build` makes of the repository: a folder for the function and one for the layer."""
    if not BASE_PYTHON.exists():
        pytest.skip(f"`sam build` needs Python 3.13 itself, and {BASE_PYTHON} is not there")
    folder = tmp_path_factory.mktemp("sam")
    command = ["sam", "build", "--no-cached", "--build-dir", str(folder / "build"), "--base-dir", str(ROOT)]
    try:
        done = run_in_sam_environment(*command, "--parameter-overrides", f"Architecture={ARCHITECTURE}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"`sam build` could not fetch the layer's packages within {RUN_S} s")
    if done.returncode and not _index_answers(folder):
        pytest.skip("`sam build` needs a package index, and none answers")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build"


def _index_answers(folder: Path) -> bool:
    # pip says the same of a pin that does not exist and of an index that does not answer
    download = [str(BASE_PYTHON), "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps"]
    command = [*download, "--dest", str(folder), RUNTIME_CLIENT]
    return subprocess.run(command, capture_output=True, check=False, timeout=RUN_S).returncode == 0


@pytest.fixture(scope="module")
def runtime_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's runtime client, which is part of Lambda's image and not of ours."""
    folder = tmp_path_factory.mktemp("runtime")
    install = [uv(), "pip", "install", "--quiet", "--only-binary", ":all:", "--python", str(BASE_PYTHON)]
    done = subprocess.run(
        [*install, "--target", str(folder), RUNTIME_CLIENT], capture_output=True, text=True, check=False, timeout=RUN_S
    )
    if done.returncode:
        pytest.skip(f"{RUNTIME_CLIENT} cannot be installed here: {done.stderr.strip()}")
    return folder


class Emulator:
    """One execution environment. `lines` are what the function printed."""

    def __init__(self, built: Path, runtime_client: Path, variables: dict[str, str], log: Path) -> None:
        port, runtime_port = _free_port(), _free_port()
        task, layer = built / "RecommendFunction", built / "SharedLayer" / "python"
        self._log = log
        emulator = samcli_folder() / "local" / "rapid" / f"aws-lambda-rie-{ARCHITECTURE}"
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
        # without site-packages: only what was built may be imported
        runtime = [str(BASE_PYTHON), "-S", "-m", "awslambdaric", HANDLER]
        environment = {
            **variables,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, (task, layer, runtime_client))),
            "LAMBDA_TASK_ROOT": str(task),
            "AWS_LAMBDA_FUNCTION_NAME": "recommend",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": "29",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(emulator), "--log-level", "error", *addresses, *runtime],
                cwd=task,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        _wait_for(port)

    def invoke(self, event: str) -> dict[str, Any]:
        """The function's answer to one of infra/events."""
        answer: dict[str, Any] = self._client.post(
            INVOCATIONS, content=(ROOT / f"infra/events/{event}.json").read_bytes()
        ).json()
        return answer

    def lines(self) -> list[str]:
        """What the function printed so far."""
        return self._log.read_text().splitlines()

    def stop(self) -> None:
        """Ends the emulator and the runtime under it."""
        self._client.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def emulator(
    built: Path, runtime_client: Path, cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """One execution environment over the shared local cloud."""
    running = Emulator(built, runtime_client, cloud.variables, tmp_path_factory.mktemp("log") / "function.log")
    yield running
    running.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the emulator did not start"
            time.sleep(0.05)
        else:
            return


def body(answer: dict[str, Any]) -> dict[str, Any]:
    """The document in an HTTP answer."""
    assert answer["isBase64Encoded"] is False
    document: dict[str, Any] = json.loads(answer["body"])
    return document


def test_a_known_user_gets_five_items(emulator: Emulator) -> None:
    """The README's request, through the built artefact."""
    answer = emulator.invoke("recommend")
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/json")
    document = body(answer)
    assert len(set(document["top_items"])) == 5
    assert (document["mode"], document["arm"]) == ("hybrid_rerank", "treatment")


def test_a_query_is_judged_by_the_llm(emulator: Emulator) -> None:
    """Items of a free-text query carry the LLM's scores."""
    document = body(emulator.invoke("query"))
    assert all(item["llm_score"] is not None for item in document["items"])


def test_an_unknown_user_is_a_cold_start(emulator: Emulator) -> None:
    """Popular items, no error."""
    assert body(emulator.invoke("cold_user"))["mode"] == "cold_start"


def test_a_history_is_folded_in(emulator: Emulator) -> None:
    """A POST body reaches the pipeline: numpy's solver is in the layer and works."""
    document = body(emulator.invoke("history"))
    assert document["mode"] == "hybrid_rerank"
    assert not {1001, 1008, 1015} & set(document["top_items"])


def test_a_bad_request_is_told_what_is_wrong(emulator: Emulator) -> None:
    """A problem document that names the field, as text."""
    answer = emulator.invoke("invalid")
    assert answer["statusCode"] == 422
    assert body(answer)["errors"][0]["field"] == "top_k"


def test_health_names_the_factors(emulator: Emulator) -> None:
    """What a monitor asks."""
    assert body(emulator.invoke("health"))["status"] == "ok"


def test_a_bare_event_is_answered_with_the_document(emulator: Emulator) -> None:
    """As `aws lambda invoke` sends one: no HTTP around it."""
    assert len(emulator.invoke("bare")["top_items"]) == 5


def test_each_recommendation_prints_one_metrics_line(emulator: Emulator) -> None:
    """EMF on standard output, where CloudWatch takes it from."""

    def metric_lines() -> int:
        return sum('"CloudWatchMetrics"' in line and '"Requests"' in line for line in emulator.lines())

    before = metric_lines()
    emulator.invoke("recommend")
    # the emulator passes output on by itself, after the answer
    for _ in range(100):
        if metric_lines() > before:
            break
        time.sleep(0.05)
    assert metric_lines() == before + 1


def test_the_built_template_has_no_anchors(built: Path) -> None:
    """What is deployed repeats what the template's anchors stand for, since CloudFormation knows none."""
    events = list(yaml.parse((built / "template.yaml").read_text()))
    assert any(isinstance(event, yaml.ScalarEvent) and event.value == "EvaluationPeriods" for event in events)
    assert not any(isinstance(event, yaml.AliasEvent) or getattr(event, "value", "") == "<<" for event in events)


def test_function_and_layer_are_small(built: Path) -> None:
    """At most 85 MB unzipped, of the 250 that Lambda allows."""
    folders = (built / "RecommendFunction", built / "SharedLayer")
    size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    assert size <= 85e6
