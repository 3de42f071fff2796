"""AWS's REST-JSON errors, as botocore turns them into modelled exceptions."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response


class ServiceError(Exception):
    """A modelled error of a service: its shape's name and HTTP status."""

    def __init__(self, name: str, status: int, message: str, **members: Any) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.members = members


def bad_request(message: str, **members: Any) -> ServiceError:
    """BadRequestException."""
    return ServiceError("BadRequestException", 400, message, **members)


def not_found(what: str) -> ServiceError:
    """ResourceNotFoundException."""
    return ServiceError("ResourceNotFoundException", 404, f"{what} not found")


def conflict(message: str) -> ServiceError:
    """ConflictException."""
    return ServiceError("ConflictException", 409, message)


def json_response(document: Any, status: int = 200) -> Response:
    """A JSON body."""
    return Response(orjson.dumps(document), status, media_type="application/json")


async def error_response(_: Request, error: Exception) -> Response:
    """The answer to a request that raised ServiceError."""
    assert isinstance(error, ServiceError)
    response = json_response({"Message": str(error), "message": str(error), **error.members}, error.status)
    response.headers["x-amzn-ErrorType"] = error.name
    return response
