"""Who may import what, and what the Lambda carries."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shared" / "flagrank"

# imports run down this list; packages on one line do not import each other
ORDER = """
functions
cli
benchmarks  console
local
bootstrap  offline.evaluation  offline.publishing
offline.training
offline.metrics
offline.data  adapters.control  warming
adapters  serving  delivery  settings  costs
rerank  delivery.analysis
candidates  ranking  timing
ports
model  flags
errors  metric_names
domain
"""
LEVEL = {package: level for level, line in enumerate(ORDER.strip().splitlines()) for package in line.split()}

# the wings do not know each other, except that learning measures what serves
SERVING = {"candidates", "ranking", "rerank", "serving", "warming", "adapters"}
CONTROL = {"delivery", "delivery.analysis", "adapters.control"}
LEARNING = {package for package in LEVEL if package.startswith("offline")}
STRANGERS = {**dict.fromkeys(SERVING, CONTROL | LEARNING), **dict.fromkeys(LEARNING, CONTROL)}
STRANGERS |= dict.fromkeys(CONTROL, LEARNING | SERVING - {"adapters"})

# where IO is allowed
EDGES = ("adapters", "offline", "local", "benchmarks", "cli", "bootstrap", "functions")


def modules() -> Iterator[tuple[str, Path]]:
    """Every production module by its dotted name, the package's own prefix left out."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield ".".join(parts).removesuffix(".__init__"), path
    for path in sorted((ROOT / "functions").rglob("*.py")):
        yield "functions", path


def package_of(module: str) -> str:
    """The longest name on the list that the module is, or lies in."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(name for name in names if name in LEVEL)


def is_edge(module: str) -> bool:
    """Whether the module may do IO."""
    return module.split(".")[0] in EDGES


def imported(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it, as dotted names; a name from a package as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    """What a file imports of this project, the package's own prefix left out."""
    return {name.removeprefix("flagrank.") for name in imported(path) if name.startswith("flagrank.")}


def test_imports_run_down_only() -> None:
    """No module imports from a package above its own, or beside it on the same line."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for module, path in modules()
        for name in own_imports(path)
        if package_of(name) != package_of(module) and LEVEL[package_of(name)] <= LEVEL[package_of(module)]
    ]
    assert wrong == []


def test_the_wings_do_not_know_each_other() -> None:
    """Serving imports neither control nor learning, control neither of the others, and learning no control."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for module, path in modules()
        for name in own_imports(path)
        if package_of(name) in STRANGERS.get(package_of(module), set())
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Within a package, too, one module is read after the other."""
    graph = {module: own_imports(path) for module, path in modules() if module != "functions"}
    # a name that is imported may be a module, or something in one
    only_modules = {
        module: {name if name in graph else name.rpartition(".")[0] for name in names} & graph.keys()
        for module, names in graph.items()
    }
    TopologicalSorter(only_modules).prepare()


def test_every_package_says_what_lives_in_it() -> None:
    """A package's `__init__` is one docstring: what lives there, what it imports, and what may import it."""
    for path in sorted(PACKAGE.rglob("__init__.py")):
        body = ast.parse(path.read_text()).body
        assert ast.get_docstring(ast.parse(path.read_text())), path
        assert len(body) == 1, path


def test_only_edges_know_the_sdk_and_the_training_libraries() -> None:
    """The core imports neither boto3 nor implicit nor scipy, not even inside a function."""
    foreign = {"boto3", "botocore", "duckdb", "httpx", "implicit", "scipy", "moto", "typer", "rich", "uvicorn"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for module, path in modules()
        if not is_edge(module)
        for name in imported(path)
        if name.split(".")[0] in foreign
    ]
    assert wrong == []


def test_the_core_reads_neither_clock_nor_environment() -> None:
    """Time and settings come in through ports."""
    reads = re.compile(r"\btime\.(time|monotonic|sleep)\(|\bos\.environ\b|\bdatetime\.now\(")
    assert [module for module, path in modules() if not is_edge(module) and reads.search(path.read_text())] == []


def test_importing_the_serving_pipeline_loads_no_sdk() -> None:
    """A fresh interpreter that imports pipeline and API has loaded nothing heavy."""
    code = (
        "import sys, flagrank.serving.pipeline, flagrank.serving.api, flagrank.serving.service;"
        "print([name for name in ('boto3', 'botocore', 'scipy', 'implicit', 'typer', 'pandas', 'torch')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_start_without_an_http_provider_does_not_wait_for_its_client() -> None:
    """The function's own imports hold no httpx; bootstrap imports it where a provider is configured."""
    code = "import sys, flagrank.bootstrap; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_no_module_outgrows_its_reader() -> None:
    """No module is longer than 300 lines."""
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for _, path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_no_function_outgrows_its_reader() -> None:
    """No function is longer than 60 lines, its options and docstring counted."""
    long = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: lines for name, lines in long.items() if lines > 60} == {}


def direct() -> dict[str, str]:
    lines = (ROOT / "shared/requirements.in").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_layer_s_lock_is_in_step_with_the_direct_dependencies() -> None:
    """Each pin of requirements.in is the pin of requirements.txt, and everything there carries hashes."""
    text = (ROOT / "shared/requirements.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert {name: locked.get(name) for name in direct()} == direct()
    assert text.count("==") <= text.count("--hash=sha256:")


@pytest.mark.parametrize("heavy", ["scipy", "implicit", "pandas", "torch", "moto", "lightgbm", "duckdb"])
def test_nothing_heavy_is_in_the_layer(heavy: str) -> None:
    """The layer's diet is what requirements.txt says."""
    assert not re.search(rf"^{heavy}==", (ROOT / "shared/requirements.txt").read_text(), re.MULTILINE)


def test_the_project_s_dependencies_are_the_layer_s() -> None:
    """Development runs on the serving versions: pyproject takes them from the same file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["shared/requirements.in"]
