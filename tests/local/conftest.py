"""Servers of the stand-ins' applications, in threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette

from flagrank.local.serve import HOST, bound_listener

type Serve = Callable[[Starlette], str]


@contextmanager
def served(app: Starlette, port: int = 0) -> Iterator[str]:
    """The address of an application that runs until the block ends; port 0 lets the system choose."""
    listener = bound_listener(HOST, port)
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves applications until the test ends."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))
