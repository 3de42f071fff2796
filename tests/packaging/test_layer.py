"""The layer carries what the functions call, and no less."""

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from layer.build import NOT_SERVED
from layer.trim_models import reached, trim_models
from tests.packaging.stack_template import FUNCTIONS, TEMPLATE
from tests.packaging.test_dependencies import PACKAGE, ROOT, imported, modules

KEPT: dict[str, list[str]] = json.loads((ROOT / "shared/layer/operations.json").read_text())
DATA = Path(botocore.__file__).parent / "data"
# how adapters and functions make clients
CLIENTS = {"_client", "client", "operator_client"}


def served_modules() -> dict[str, Path]:
    """The modules that the functions with the layer reach through their imports."""
    files = {f"flagrank.{name}": path for name, path in modules() if name != "functions"}
    layered = [each["Properties"] for each in FUNCTIONS.values() if each["Properties"].get("Layers")]
    open_files = [ROOT / properties["CodeUri"] / "app.py" for properties in layered]
    found = {str(path): path for path in open_files}
    while open_files:
        for name in imported(open_files.pop()):
            for module in (name, name.rpartition(".")[0]):
                if module in files and module not in found:
                    found[module] = files[module]
                    open_files.append(files[module])
    return found


def attributes(path: Path) -> set[str]:
    """Every name that a file takes from an object."""
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


def service_names(path: Path) -> Iterator[str]:
    """The services for which a file makes clients."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in CLIENTS:
                yield str(node.args[0].value)


def shapes(shape: Shape | None, seen: dict[str, Any]) -> dict[str, Any]:
    """What a shape and all that it names are like."""
    if shape is not None and shape.name not in seen:
        seen[shape.name] = (
            shape.type_name,
            shape.serialization,
            sorted(shape.metadata),
            shape.required_members if shape.type_name == "structure" else [],
        )
        children = [*getattr(shape, "members", {}).values()] if shape.type_name == "structure" else []
        children += [getattr(shape, name) for name in ("member", "key", "value") if hasattr(shape, name)]
        for child in children:
            shapes(child, seen)
    return seen


def described(loader: Loader, service: str) -> dict[str, Any]:
    """The kept operations of a service as a client sees them."""
    model = ServiceModel(loader.load_service_model(service, "service-2"), service)
    found: dict[str, Any] = {"metadata": model.metadata}
    for name in KEPT[service]:
        operation = model.operation_model(name)
        called = [operation.input_shape, operation.output_shape, *operation.error_shapes]
        found[name] = (operation.http, [shapes(shape, {}) for shape in called])
    return found


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """botocore's data as the layer has it."""
    data = tmp_path_factory.mktemp("botocore") / "data"
    data.mkdir()
    for name in [*KEPT, "sns", "endpoints.json", "partitions.json", "_retry.json", "sdk-default-configuration.json"]:
        source = DATA / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, data / name)
    trim_models(data, KEPT)
    return Loader(extra_search_paths=[str(data)], include_default_search_paths=False)


@pytest.mark.parametrize("service", KEPT)
def test_a_kept_operation_is_what_it_was(service: str, trimmed: Loader) -> None:
    """Its request, its answer, its errors, and the endpoint's rules."""
    whole = Loader()
    assert described(trimmed, service) == described(whole, service)
    rules = "endpoint-rule-set-1"
    assert trimmed.load_service_model(service, rules) == whole.load_service_model(service, rules)


def test_nothing_else_is_kept(trimmed: Loader) -> None:
    """No other service, and no other operation."""
    assert trimmed.list_available_services("service-2") == sorted(KEPT)
    for service, operations in KEPT.items():
        assert [*trimmed.load_service_model(service, "service-2")["operations"]] == operations


def test_every_operation_that_a_function_calls_is_kept() -> None:
    """An operation of a kept service whose name stands anywhere in the served code is in the layer."""
    # a request has a query
    names = set[str]().union(*(attributes(path) for path in served_modules().values())) - {"query"}
    called = {
        service: {
            name
            for name in Loader().load_service_model(service, "service-2")["operations"]
            if xform_name(name) in names
        }
        for service in KEPT
    }
    assert {service: found - {*KEPT[service]} for service, found in called.items() if found - {*KEPT[service]}} == {}


def test_every_service_of_a_function_is_kept() -> None:
    """A client is made for no service that the layer does not describe."""
    named = {name for path in served_modules().values() for name in service_names(path)}
    assert named <= KEPT.keys()


def test_what_is_left_out_of_the_layer_is_imported_by_no_function() -> None:
    """Commands, training and the local cloud stay at home."""
    assert not [name for name in served_modules() if name.startswith(tuple(f"flagrank.{part}." for part in NOT_SERVED))]


def test_shapes_that_name_each_other_are_all_reached() -> None:
    """Also in a circle."""
    model = {"A": {"members": {"b": {"shape": "B"}}}, "B": {"member": {"shape": "A"}}, "C": {}}
    assert reached({"Ask": {"input": {"shape": "A"}}}, model) == {"A", "B"}


def test_each_architecture_has_its_makefile() -> None:
    """SAM picks it by the parameter."""
    for architecture in TEMPLATE["Parameters"]["Architecture"]["AllowedValues"]:
        assert f"layer.build {architecture} " in (ROOT / f"shared/layer/{architecture}/Makefile").read_text()
    assert PACKAGE.is_relative_to(ROOT / "shared")
