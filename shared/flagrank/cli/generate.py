"""`python -m flagrank.cli.generate`: writes into the repository what the code knows better than a hand.

That is the flag's JSON Schema, which stands in `infra/flags/rerank.schema.json` and in `template.yaml`.
Run from the root of the repository.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from flagrank.errors import ConfigurationError
from flagrank.flags.document import json_schema

SCHEMA = Path("infra/flags/rerank.schema.json")
TEMPLATE = Path("template.yaml")
# the block under AppConfig's validator: the key, and all lines that are indented further
IN_TEMPLATE = re.compile(r"^( +)Content: \|\n(?:\1 +.*\n)+", re.MULTILINE)


def generated(root: Path) -> dict[Path, str]:
    """The text of every generated file by its path; raises ConfigurationError where the template has no one place."""
    text = schema_text()
    return {root / SCHEMA: text, root / TEMPLATE: with_schema((root / TEMPLATE).read_text("utf-8"), text)}


def schema_text() -> str:
    """The flag's schema, with one line for each field of the document."""
    return _object({name: _value(value) for name, value in json_schema().items()}, indent="") + "\n"


def with_schema(template: str, schema: str) -> str:
    """The template with this schema as the flag validator's content."""
    places = list(IN_TEMPLATE.finditer(template))
    if len(places) != 1:
        raise ConfigurationError(f"{TEMPLATE} has {len(places)} blocks `Content: |` where the schema goes, not one")
    (place,) = places
    indent = place[1]
    lines = "".join(f"{indent}  {line}\n" for line in schema.splitlines())
    return f"{template[: place.start()]}{indent}Content: |\n{lines}{template[place.end() :]}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return _object({name: json.dumps(entry) for name, entry in value.items()}, indent="  ")
    return json.dumps(value)


def _object(members: Mapping[str, str], indent: str) -> str:
    lines = ",\n".join(f"{indent}  {json.dumps(name)}: {value}" for name, value in members.items())
    return f"{{\n{lines}\n{indent}}}"


def main() -> None:
    """Writes the files that are not yet what they should be."""
    for path, text in generated(Path()).items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
