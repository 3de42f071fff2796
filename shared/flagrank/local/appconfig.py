"""A stand-in for AppConfig, control and data plane, on the wire that boto3 speaks."""

from dataclasses import asdict, replace
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flagrank.adapters.system_clock import SystemClock
from flagrank.local.appconfig_deployments import Pace
from flagrank.local.appconfig_sessions import Sessions
from flagrank.local.appconfig_state import AppConfigState
from flagrank.local.rest_json import ServiceError, error_response, json_response
from flagrank.ports import Clock

ENVIRONMENTS = "/applications/{application}/environments"
PROFILES = "/applications/{application}/configurationprofiles"
VERSIONS = PROFILES + "/{profile}/hostedconfigurationversions"
DEPLOYMENTS = ENVIRONMENTS + "/{environment}/deployments"


def create_app(
    clock: Clock | None = None, poll_s: int | None = None, minute_s: float = 60.0, rollback_s: float = 0.0
) -> Starlette:
    """The application over an empty account; `poll_s` is what it has pollers wait, None for as long as they asked.

    A minute of a deployment strategy lasts `minute_s`, a rollback `rollback_s`. `GET` and `PUT /_monitor` read and
    change the alarm that environments watch: whether it is `firing`, and has its `actions`.
    """
    state = AppConfigState(clock or SystemClock(), Pace(minute_s, rollback_s))
    routes = (
        *_monitor_routes(state),
        *_resource_routes(state),
        *_version_routes(state),
        *_deployment_routes(state),
        *_data_routes(Sessions(state), poll_s),
    )
    return Starlette(routes=routes, exception_handlers={ServiceError: error_response})


def _monitor_routes(state: AppConfigState) -> list[Route]:
    async def show(_: Request) -> Response:
        return json_response(asdict(state.monitor))

    async def change(request: Request) -> Response:
        state.heed(replace(state.monitor, **await _body(request)))
        return json_response(asdict(state.monitor))

    return [Route("/_monitor", show), Route("/_monitor", change, methods=["PUT"])]


def _resource_routes(state: AppConfigState) -> list[Route]:
    async def create_application(request: Request) -> Response:
        return json_response(state.create_application(await _body(request)), 201)

    async def list_applications(_: Request) -> Response:
        return json_response({"Items": list(state.applications.values())})

    async def create_environment(request: Request) -> Response:
        return json_response(state.create_environment(_of(request, "application"), await _body(request)), 201)

    async def list_environments(request: Request) -> Response:
        return _listed(state.environments, request)

    async def create_profile(request: Request) -> Response:
        return json_response(state.create_profile(_of(request, "application"), await _body(request)), 201)

    async def list_profiles(request: Request) -> Response:
        return _listed(state.profiles, request)

    async def get_profile(request: Request) -> Response:
        return json_response(state.profile(_of(request, "application"), _of(request, "profile")))

    async def create_strategy(request: Request) -> Response:
        return json_response(state.create_strategy(await _body(request)), 201)

    async def list_strategies(_: Request) -> Response:
        return json_response({"Items": list(state.strategies.values())})

    return [
        Route("/applications", create_application, methods=["POST"]),
        Route("/applications", list_applications),
        Route(ENVIRONMENTS, create_environment, methods=["POST"]),
        Route(ENVIRONMENTS, list_environments),
        Route(PROFILES, create_profile, methods=["POST"]),
        Route(PROFILES, list_profiles),
        Route(PROFILES + "/{profile}", get_profile),
        Route("/deploymentstrategies", create_strategy, methods=["POST"]),
        Route("/deploymentstrategies", list_strategies),
    ]


def _version_routes(state: AppConfigState) -> list[Route]:
    async def create_version(request: Request) -> Response:
        application, profile = _of(request, "application"), _of(request, "profile")
        content_type = request.headers.get("content-type", "")
        version = state.create_version(application, profile, await request.body(), content_type, request.headers)
        return _version(application, profile, version, 201)

    async def get_version(request: Request) -> Response:
        application, profile = _of(request, "application"), _of(request, "profile")
        return _version(application, profile, state.version(application, profile, _of(request, "number")), 200)

    async def list_versions(request: Request) -> Response:
        application, profile = _of(request, "application"), _of(request, "profile")
        state.profile(application, profile)
        newest_first = reversed(state.versions[application, profile])
        shown = [{name: value for name, value in version.items() if name != "Content"} for version in newest_first]
        return json_response({"Items": shown})

    return [
        Route(VERSIONS, create_version, methods=["POST"]),
        Route(VERSIONS, list_versions),
        Route(VERSIONS + "/{number}", get_version),
    ]


def _deployment_routes(state: AppConfigState) -> list[Route]:
    def described(request: Request, deployment: Any, status: int) -> Response:
        shown = state.described(_of(request, "application"), _of(request, "environment"), deployment)
        return json_response(shown, status)

    async def start(request: Request) -> Response:
        application, environment = _of(request, "application"), _of(request, "environment")
        return described(request, state.start_deployment(application, environment, await _body(request)), 201)

    async def list_all(request: Request) -> Response:
        application, environment = _of(request, "application"), _of(request, "environment")
        newest_first = reversed(state.deployments_of(application, environment).entries)
        return json_response({"Items": [state.described(application, environment, entry) for entry in newest_first]})

    async def get(request: Request) -> Response:
        application, environment = _of(request, "application"), _of(request, "environment")
        found = state.deployments_of(application, environment).find(_of(request, "number"))
        return described(request, found, 200)

    async def stop(request: Request) -> Response:
        application, environment = _of(request, "application"), _of(request, "environment")
        allow_revert = request.headers.get("allow-revert", "").lower() == "true"
        deployments = state.deployments_of(application, environment)
        stopped = deployments.stop(_of(request, "number"), allow_revert, state.clock.now())
        return described(request, stopped, 202)

    return [
        Route(DEPLOYMENTS, start, methods=["POST"]),
        Route(DEPLOYMENTS, list_all),
        Route(DEPLOYMENTS + "/{number}", get),
        Route(DEPLOYMENTS + "/{number}", stop, methods=["DELETE"]),
    ]


def _data_routes(sessions: Sessions, poll_s: int | None) -> list[Route]:
    async def start_session(request: Request) -> Response:
        return json_response({"InitialConfigurationToken": sessions.start(await _body(request))}, 201)

    async def latest(request: Request) -> Response:
        session, token, fresh = sessions.latest(request.query_params.get("configuration_token", ""))
        headers = {
            "Next-Poll-Configuration-Token": token,
            "Next-Poll-Interval-In-Seconds": str(poll_s or session.poll_s),
        }
        if fresh is None:
            return Response(b"", headers=headers)
        if fresh["VersionLabel"]:
            headers["Version-Label"] = fresh["VersionLabel"]
        return Response(fresh["Content"], headers=headers, media_type=fresh["ContentType"])

    return [
        Route("/configurationsessions", start_session, methods=["POST"]),
        Route("/configuration", latest),
    ]


async def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(await request.body() or b"{}")
    return body


def _of(request: Request, name: str) -> str:
    value: str = request.path_params[name]
    return value


def _listed(table: dict[tuple[str, str], dict[str, Any]], request: Request) -> Response:
    application = _of(request, "application")
    return json_response({"Items": [entry for (owner, _), entry in table.items() if owner == application]})


def _version(application: str, profile: str, version: dict[str, Any], status: int) -> Response:
    headers = {
        "Application-Id": application,
        "Configuration-Profile-Id": profile,
        "Version-Number": str(version["VersionNumber"]),
        "Description": version["Description"],
    }
    if version["VersionLabel"]:
        headers["VersionLabel"] = version["VersionLabel"]
    return Response(version["Content"], status, headers, media_type=version["ContentType"])
