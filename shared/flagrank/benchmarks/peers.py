"""Libraries that a measurement compares with, if they are installed."""

import importlib
from typing import Any


def peer(module: str) -> Any | None:
    """The module of a peer; None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def absent(module: str) -> str:
    """Why a peer has no figures."""
    return f"{module} is not installed; the extra `bench` brings it"
