"""`python -m flagrank.local.serve NAME HOST OPTIONS`: one stand-in as a process of its own.

Prints `{"port": ...}` when it accepts connections, and ends when its standard input does: so none outlives its parent,
however that ended.
"""

import json
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn

from flagrank.local.calls import CountedCalls

HOST = "127.0.0.1"


def main() -> None:
    """Serves until standard input ends."""
    # Ctrl-C reaches the whole process group; the parent decides when its children end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name, host, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    if name == "llama":
        _serve_llama(host, options)
    _serve(CountedCalls(_app(name, options)), host)


def _app(name: str, options: dict[str, Any]) -> Any:
    # each process pays for what it serves
    # moto holds up everybody while a queue is read, so SQS is a process of its own
    if name in ("aws", "sqs"):
        from flagrank.local import aws

        return aws.create_app()
    if name == "appconfig":
        from flagrank.local import appconfig

        return appconfig.create_app(**options)
    from flagrank.local import bedrock

    return bedrock.create_app(bedrock.LLMBehaviour(**options))


def _serve_llama(host: str, options: dict[str, Any]) -> None:
    from flagrank.local import llama

    # held by its name: it stops listening when nobody refers to it
    server = llama.start(host, **options)
    _announce(llama.port_of(server))
    sys.stdin.read()
    # whatever the model is busy with
    os._exit(0)


def _serve(app: Any, host: str) -> None:
    listener = bound_listener(host, 0)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )

    def watch() -> None:
        _announce(listener.getsockname()[1])
        sys.stdin.read()
        server.should_exit = True

    listener.listen(256)
    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[listener])


def bound_listener(host: str, port: int) -> socket.socket:
    """A socket that is bound to a port; raises OSError if the port is taken."""
    # asyncio switches Nagle's delay off only where the protocol is named, and 40 ms a request is what it costs
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _announce(port: int) -> None:
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
