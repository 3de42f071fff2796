"""boto3 clients of a local cloud."""

import json
import os
import urllib.request
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

INTRODUCE_S = 10.0

# the developer's own profile and files stay outside: a profile that is set but unknown would stop every client
_UNSHARED = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def client(service: str, variables: Mapping[str, str]) -> Any:
    """A client for a service of the local cloud that these variables describe (see `LocalCloud.variables`)."""
    session = boto3.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
        botocore_session=botocore.session.Session(session_vars=_UNSHARED),
    )
    name = "AWS_ENDPOINT_URL_" + service.upper().replace("-", "_")
    # no proxy stands between a process and its own machine
    direct = Config(proxies={}, retries={"mode": "standard", "total_max_attempts": 2})
    return session.client(service, endpoint_url=variables.get(name, variables["AWS_ENDPOINT_URL"]), config=direct)


def introduce(url: str, variables: Mapping[str, str]) -> None:
    """Tells the stand-in at this address where the rest of its cloud is."""
    body = json.dumps(dict(variables)).encode()
    request = urllib.request.Request(f"{url}/_cloud", data=body, method="PUT")  # noqa: S310 - a stand-in of ours
    with _direct().open(request, timeout=INTRODUCE_S):
        pass


def calls(url: str) -> dict[str, int]:
    """The calls that the stand-in at this address answered so far, by `service.Operation`."""
    with _direct().open(f"{url}/_calls", timeout=INTRODUCE_S) as answer:
        counted: dict[str, int] = json.loads(answer.read())
    return counted


def _direct() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
