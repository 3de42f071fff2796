"""botocore's data, cut down to the operations that the Lambda functions call (`operations.json`).

botocore carries every operation of every service, 24 MB, and a client reads its service's whole description before it
is made. What is left behaves as before: names, shapes, errors and endpoint rules are those of the files that came.
"""

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SERVICE, RULES, PAGINATORS = "service-2", "endpoint-rule-set-1", "paginators-1"


def trim_models(data: Path, kept: Mapping[str, list[str]]) -> None:
    """Removes from botocore's data folder what is not in `kept`, operations by service.

    Raises KeyError for a service or an operation that botocore does not know.
    """
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder)
    for service, operations in kept.items():
        _trim_service(data / service, operations)
    endpoints = data / "endpoints.json"
    _write(endpoints, trimmed_endpoints(_read(endpoints), kept))


def trimmed_service(model: Mapping[str, Any], kept: list[str]) -> dict[str, Any]:
    """A service's description with these operations and the shapes that they reach, documentation left out."""
    operations = {name: model["operations"][name] for name in kept}
    return {
        **model,
        "operations": _undocumented(operations),
        "shapes": {name: _undocumented(model["shapes"][name]) for name in sorted(reached(operations, model["shapes"]))},
    }


def reached(operations: Mapping[str, Any], shapes: Mapping[str, Any]) -> set[str]:
    """The names of the shapes that operations name, and those that these name in turn."""
    found: set[str] = set()
    open_names = [*_named(operations)]
    while open_names:
        name = open_names.pop()
        if name not in found:
            found.add(name)
            open_names += _named(shapes[name])
    return found


def trimmed_endpoints(endpoints: Mapping[str, Any], services: Mapping[str, Any]) -> dict[str, Any]:
    """The partitions with the regions of these services alone."""
    partitions = [
        {**partition, "services": {name: entry for name, entry in partition["services"].items() if name in services}}
        for partition in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def _trim_service(folder: Path, operations: list[str]) -> None:
    *older, newest = sorted(folder.iterdir())
    for version in older:
        shutil.rmtree(version)
    model = trimmed_service(_read(newest / f"{SERVICE}.json.gz"), operations)
    rules = _read(newest / f"{RULES}.json.gz")
    extras = {path: _read(path) for path in newest.glob(f"{SERVICE}.*-extras.json")}
    pages = _read(newest / f"{PAGINATORS}.json")["pagination"]
    for path in newest.iterdir():
        path.unlink()
    # not compressed: a start reads them, and they are small now
    _write(newest / f"{SERVICE}.json", model)
    _write(newest / f"{RULES}.json", rules)
    _write(newest / f"{PAGINATORS}.json", {"pagination": {name: pages[name] for name in operations if name in pages}})
    for path, extra in extras.items():
        _write(path, extra)


def _named(description: object) -> Iterator[str]:
    if isinstance(description, Mapping):
        if isinstance(description.get("shape"), str):
            yield description["shape"]
        for value in description.values():
            yield from _named(value)
    elif isinstance(description, list):
        for value in description:
            yield from _named(value)


def _undocumented[T](description: T) -> T:
    # a documented member is a mapping, and a documentation is a text: a member of that name stays
    if isinstance(description, dict):
        return {  # type: ignore[return-value]
            name: _undocumented(value)
            for name, value in description.items()
            if not (name == "documentation" and isinstance(value, str))
        }
    return description


def _read(path: Path) -> dict[str, Any]:
    opened = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    document: dict[str, Any] = json.loads(opened)
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")))
