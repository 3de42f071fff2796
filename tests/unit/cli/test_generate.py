"""`python -m flagrank.cli.generate`: where the flag's schema goes, and what it refuses."""

import json
from pathlib import Path

import pytest

from flagrank.cli.generate import SCHEMA, TEMPLATE, generated, main, schema_text, with_schema
from flagrank.errors import ConfigurationError
from flagrank.flags.document import json_schema

PROFILE = """\
Validators:
  - Type: JSON_SCHEMA
    Content: |
      {
        "old": 1
      }
Next: 1
"""


def test_the_text_is_the_schema() -> None:
    """One line for each field of the document, and nothing added or lost."""
    assert json.loads(schema_text()) == json_schema()
    assert all(f'    "{field}": {{' in schema_text() for field in json_schema()["properties"])


def test_the_schema_replaces_the_block_and_nothing_else() -> None:
    """Lines before and after the block stay, and the block is indented as YAML needs it."""
    replaced = with_schema("Before: 1\n" + PROFILE, '{\n  "a": 1\n}\n')
    assert replaced == (
        'Before: 1\nValidators:\n  - Type: JSON_SCHEMA\n    Content: |\n      {\n        "a": 1\n      }\nNext: 1\n'
    )
    assert with_schema(replaced, '{\n  "a": 1\n}\n') == replaced


@pytest.mark.parametrize("template", ["Next: 1\n", PROFILE + PROFILE], ids=["none", "two"])
def test_a_template_without_one_place_is_refused(template: str) -> None:
    """Nothing is written where the schema would go nowhere, or somewhere that was not meant."""
    with pytest.raises(ConfigurationError, match="not one"):
        with_schema(template, "{}")


def test_the_task_writes_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a run both files hold the schema, and a second run changes neither."""
    (tmp_path / SCHEMA).parent.mkdir(parents=True)
    (tmp_path / TEMPLATE).write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    main()
    assert (tmp_path / SCHEMA).read_text() == schema_text()
    assert '"percent"' in (tmp_path / TEMPLATE).read_text()
    assert all(path.read_text() == text for path, text in generated(tmp_path).items())
