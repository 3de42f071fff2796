"""`flagrank console`: the rollout in a browser, served on loopback to whoever has the address."""

import contextlib
import os
import secrets
import socket
from typing import Annotated

import typer

from flagrank.cli.change import actor_name
from flagrank.cli.limits import limited
from flagrank.cli.option_groups import with_option_groups
from flagrank.cli.target import Target
from flagrank.delivery.analysis.limits import Limits
from flagrank.errors import CloudError

TOKEN_BYTES = 24
# each reading of CloudWatch is charged
EVERY_S, LOCAL_EVERY_S = 15.0, 2.0


@with_option_groups
@limited
def console(
    target: Target,
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the console listens; 0 lets the system choose.")
    ] = 0,
    actor: Annotated[
        str | None, typer.Option(help="Who changes the flag here, for the record; the user's name if none is given.")
    ] = None,
    limits: Limits,
) -> None:
    """Serve a page that shows the ramp, both arms, each limit and the history, and changes the flag, until Ctrl-C.

    It listens on this machine alone, and answers whoever has the address with its token. Nothing is deployed.
    """
    import uvicorn

    from flagrank.adapters.system_clock import SystemClock
    from flagrank.cli.console_dashboard import LocalDashboard
    from flagrank.cli.console_preview import ServicePreview
    from flagrank.console.access import LoopbackOnly
    from flagrank.console.actions import Operator
    from flagrank.console.app import Answers, create_app
    from flagrank.console.pages import Site
    from flagrank.console.state import Ports, Reader
    from flagrank.local.serve import HOST, bound_listener

    ports = Ports(
        target.control(), target.figures(), target.leases, target.firing_alarm, SystemClock(), target.propagation_s
    )
    is_local = target.local is not None
    where = f"local cloud at port {target.local}" if is_local else f"{target.stack}, {target.environment}"
    every_s = LOCAL_EVERY_S if is_local else EVERY_S
    try:
        listener = bound_listener(HOST, port)
    except OSError as error:
        raise CloudError(f"port {port} is in use; choose another with --port") from error
    address, token = f"{HOST}:{listener.getsockname()[1]}", secrets.token_urlsafe(TOKEN_BYTES)
    operator = Operator(actor_name(actor), secrets.token_hex(), socket.gethostname(), os.getpid())
    site, reader = Site(token, where, every_s, target.propagation_s), Reader(ports, limits, every_s / 2)
    app = create_app(
        site, reader, ports, operator, Answers(ServicePreview(target, ports.control), LocalDashboard(target))
    )
    guarded = LoopbackOnly(app, token, {address, address.replace(HOST, "localhost")})
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="error", access_log=False, lifespan="off"))
    listener.listen(64)
    # plain and last, so that scripts can wait for it
    typer.echo(f"ready http://{address}/{token}/")
    # uvicorn ends well, and then raises what ended it
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
