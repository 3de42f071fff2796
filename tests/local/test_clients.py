"""The local cloud's clients and children know nothing of the developer's own settings."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.local.clients import client
from flagrank.local.processes import variables_to_inherit
from tests.local.conftest import Serve


async def no_buckets(_: Request) -> Response:
    return Response("<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>", media_type="application/xml")


def test_a_client_needs_neither_profile_nor_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an unknown profile and a dead proxy in the shell, it still reaches the stand-in."""
    for name, value in {"AWS_PROFILE": "unknown", "HTTP_PROXY": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    variables = {
        "AWS_ENDPOINT_URL": serve(Starlette(routes=[Route("/", no_buckets)])),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    assert client("s3", variables).list_buckets()["Buckets"] == []


def test_children_inherit_no_settings_of_aws_or_flagrank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, flag names and proxies stay outside; everything else is passed on."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "FLAGRANK_BUCKET", "https_proxy", "KEPT"):
        monkeypatch.setenv(name, "1")
    inherited = variables_to_inherit()
    assert inherited["KEPT"] == "1"
    assert not [name for name in inherited if name.startswith(("AWS_", "FLAGRANK_")) or name.lower().endswith("_proxy")]
