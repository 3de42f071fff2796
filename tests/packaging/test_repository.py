"""What must never be committed, and what must lie where."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {"functions", "shared", "infra", "artifacts", "tests", "template.yaml", "pyproject.toml", "README.md"}
DEMANDED = {"samconfig.toml", "LICENSE", "CHANGELOG.md"}


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_is_the_agreed_one(tracked: list[Path]) -> None:
    """Nothing new lies at the root but dotfiles."""
    names = {path.relative_to(ROOT).parts[0] for path in tracked}
    assert {name for name in names if not name.startswith(".")} <= TOP | DEMANDED


def test_declarations_hold_no_python(tracked: list[Path]) -> None:
    """What makes or checks the files at the root and in infra/ lies in the package and in tests/."""
    homes = {path.relative_to(ROOT).parts[0] for path in tracked if path.suffix == ".py"}
    assert homes == {"functions", "shared", "tests"}


def test_no_file_names_a_package_registry_or_one_machine(tracked: list[Path]) -> None:
    """Neither lock files with registry addresses nor absolute home paths."""
    # in pieces, so that this file does not hold what it looks for
    registries = "|".join(("py" + "pi", "python" + "hosted", "npm" + "js"))
    homes = "|".join(("ro" + "ot", "wo" + "rk"))
    pattern = re.compile(rf"https?://[a-z0-9.-]*(?:{registries})\.[a-z]+|(?<![\w.])/(?:{homes})/\w")
    guilty = [str(path) for path in tracked if pattern.search(path.read_text("utf-8", "replace"))]
    assert guilty == []
    assert not any(path.name in ("uv.lock", "pylock.toml") for path in tracked)


def test_no_file_is_large(tracked: list[Path]) -> None:
    """Nothing over a mebibyte is in the repository."""
    assert [path.name for path in tracked if path.stat().st_size > 1024 * 1024] == []


def test_the_readme_holds_the_two_commands() -> None:
    """A stranger finds how to run and how to test."""
    readme = (ROOT / "README.md").read_text()
    assert "pip install uv && uv run flagrank local" in readme
    assert "pip install uv && uv run pytest" in readme
