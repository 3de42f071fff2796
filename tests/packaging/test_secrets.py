"""No key, token or password is in the repository."""

import subprocess
from pathlib import Path

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[2]
# what has a form of its own: to measure entropy would report every checksum
DETECTORS = """
AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector GitHubTokenDetector GitLabTokenDetector JwtTokenDetector
OpenAIDetector PrivateKeyDetector SlackDetector StripeDetector TwilioKeyDetector
""".split()


def found_in(paths: list[str]) -> set[str]:
    """Where a secret is, as `FILE: KIND`."""
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        secrets = SecretsCollection()
        for path in paths:
            secrets.scan_file(path)
        return {f"{path}: {secret.type}" for path, secret in secrets}


@pytest.mark.slow
def test_no_secret_is_committed() -> None:
    """Over every file that git tracks."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    tracked = [str(ROOT / name) for name in done.stdout.split("\0") if name]
    assert len(tracked) > 100
    assert found_in(tracked) == set()


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    """A key of AWS's and a private key, as they are committed by mistake."""
    # in pieces, so that this file does not hold what it looks for
    (tmp_path / "settings.py").write_text(f'key = "{"AKIA" + "Z7QK4M2NRT5WXBVD"}"\n')
    (tmp_path / "id").write_text(f"-----BEGIN {'RSA PRIVATE'} KEY-----\n")
    found = found_in([str(tmp_path / "settings.py"), str(tmp_path / "id")])
    assert {line.rpartition(": ")[2] for line in found} == {"AWS Access Key", "Private Key"}
