"""Who may import what, and what the Lambda carries."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shared" / "flagrank"
CORE = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "bootstrap"))

# arrows run down only: a module may import from its own layer or one further down
LAYERS = (
    {"functions", "cli"},
    {"local"},
    {"bootstrap", "offline"},
    {"api", "direct"},
    {"service"},
    {"pipeline", "telemetry"},
    {"treatment", "listing"},
    {"adapters", "retrieval", "reranking", "artifacts", "gating", "ramp"},
    {"scoring"},
    {"judging", "retreat", "ramp_plan", "standing"},
    {"deployments"},
    {"breaker", "guard", "prompting", "parsing", "budget"},
    {"canary"},
    {"comparisons"},
    {"quantiles"},
    {"confidence", "figures"},
    {"ports"},
    {"features"},
    {"rules", "diversity", "shadow", "rollout", "settings", "metrics", "intent", "factors"},
    {"domain", "errors", "stage2"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.stem != "__init__" or path.parent != PACKAGE:
            yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path
    for path in sorted((ROOT / "functions").rglob("*.py")):
        yield "functions", path


def imported(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "flagrank" else {node.module}
            )
    return found


def test_imports_run_down_only() -> None:
    """No module imports from a layer above its own."""
    upward = [
        f"{path.relative_to(ROOT)} imports {name}"
        for layer, path in modules()
        for name in imported(path)
        if name.startswith("flagrank.") and RANK[name.split(".")[1]] < RANK[layer]
    ]
    assert upward == []


def test_only_edges_know_the_sdk_and_the_training_libraries() -> None:
    """The core imports neither boto3 nor implicit nor scipy, not even inside a function."""
    foreign = {"boto3", "botocore", "implicit", "scipy", "moto", "typer", "rich", "uvicorn"}
    guilty = [
        path.name
        for layer, path in modules()
        if layer in CORE
        for name in imported(path)
        if name.split(".")[0] in foreign
    ]
    assert guilty == []


def test_the_core_reads_neither_clock_nor_environment() -> None:
    """Time and settings come in through ports."""
    for name in CORE:
        text = (PACKAGE / f"{name}.py").read_text()
        assert not re.search(r"\btime\.(time|monotonic|sleep)\(|\bos\.environ\b|\bdatetime\.now\(", text), name


def test_importing_the_serving_pipeline_loads_no_sdk() -> None:
    """A fresh interpreter that imports pipeline and API has loaded nothing heavy."""
    code = (
        "import sys, flagrank.pipeline, flagrank.api, flagrank.service;"
        "print([name for name in ('boto3', 'botocore', 'scipy', 'implicit', 'typer', 'pandas', 'torch')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_no_module_outgrows_its_reader() -> None:
    """No module is longer than 300 lines."""
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for _, path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def direct() -> dict[str, str]:
    lines = (ROOT / "shared/requirements.in").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_layer_s_lock_is_in_step_with_the_direct_dependencies() -> None:
    """Each pin of requirements.in is the pin of requirements.txt, and everything there carries hashes."""
    text = (ROOT / "shared/requirements.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert {name: locked.get(name) for name in direct()} == direct()
    assert text.count("==") <= text.count("--hash=sha256:")


@pytest.mark.parametrize("heavy", ["scipy", "implicit", "pandas", "torch", "moto", "lightgbm"])
def test_nothing_heavy_is_in_the_layer(heavy: str) -> None:
    """The layer's diet is what requirements.txt says."""
    assert not re.search(rf"^{heavy}==", (ROOT / "shared/requirements.txt").read_text(), re.MULTILINE)


def test_the_project_s_dependencies_are_the_layer_s() -> None:
    """Development runs on the serving versions: pyproject takes them from the same file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["shared/requirements.in"]
