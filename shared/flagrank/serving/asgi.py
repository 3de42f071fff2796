"""The contract over FastAPI: its documentation, and every request that is not a plain valid one."""

from typing import Annotated

from fastapi import Body, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from flagrank.domain import Origin
from flagrank.serving import api
from flagrank.serving.answers import BODY_EXAMPLES, HealthAnswer, RecommendAnswer, SimilarAnswer, answered
from flagrank.serving.api import RecommendBody, RecommendParams, RecommendService, SimilarParams
from flagrank.serving.docs_page import PAGE
from flagrank.serving.origin import origin_of
from flagrank.serving.plain_words import is_json, plain_words
from flagrank.serving.problems import documented, problem
from flagrank.serving.reply import Reply


def create_app(service: RecommendService) -> FastAPI:
    """The application over a service."""
    about = "Recommendations whose LLM reranker ships behind a flag."
    # FastAPI's own pages fetch their scripts from elsewhere
    app = FastAPI(title="Flagrank", description=about, docs_url=None, redoc_url=None)

    # the endpoints are async and do not await: one environment serves one request at a time, and a thread would
    # only add its hop
    @app.get("/recommend", response_class=Response, responses=answered(RecommendAnswer) | documented(422, 500, 503))
    async def get_recommend(request: Request, params: Annotated[RecommendParams, Query()]) -> Response:
        """The user's best items; the LLM reranks them where the flag says so."""
        return _response(api.recommended(service, params, _origin(request)))

    @app.post(
        "/recommend", response_class=Response, responses=answered(RecommendAnswer) | documented(400, 415, 422, 500, 503)
    )
    async def post_recommend(
        request: Request, body: Annotated[RecommendBody, Body(openapi_examples=BODY_EXAMPLES)]
    ) -> Response:
        """The same with a history of item ids, for users that training has not met."""
        return _response(api.recommended(service, body, _origin(request)))

    @app.get("/similar", response_class=Response, responses=answered(SimilarAnswer) | documented(404, 422, 500, 503))
    async def get_similar(request: Request, params: Annotated[SimilarParams, Query()]) -> Response:
        """Items like one item: those that go together with it, and those that are described alike."""
        return _response(api.similar(service, params, _origin(request)))

    @app.get("/health", response_class=Response, responses=answered(HealthAnswer) | documented(500, 503))
    async def health() -> Response:
        """Whether there are factors to serve from."""
        return _response(api.health(service))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(PAGE, media_type="text/html")

    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid_fields(request: Request, error: RequestValidationError) -> Response:
        media_type = request.headers.get("content-type", "")
        if request.method == "POST" and not is_json(media_type):
            got = f"got {media_type[:80]!r}" if media_type else "got none"
            detail = f"Send the body with the header content-type: application/json; {got}."
            return _response(problem(415, "Unsupported media type", detail))
        found = [(_field(entry["loc"]), plain_words(_field(entry["loc"]), entry)) for entry in error.errors()]
        # of an id each kind that it may be of has refused it
        return _response(api.unprocessable(list(dict.fromkeys(found))))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        response = _response(problem(error.status_code, str(error.detail), "See /docs for the routes."))
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            # the router names the methods of the first route of the path alone
            response.headers["Allow"] = ", ".join(_methods(app, request.url.path))
        return response


def _methods(app: FastAPI, path: str) -> list[str]:
    return sorted(
        {
            method
            for route in app.routes
            if isinstance(route, Route) and route.path == path
            for method in route.methods or ()
        }
    )


def _origin(request: Request) -> Origin:
    # Mangum's names for what it was called with
    return origin_of(request.scope.get("aws.event"), request.scope.get("aws.context"))


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers), reply.media_type)


def _field(location: tuple[int | str, ...]) -> str:
    # the first part says where (query, body); further ones may name a union's branches, which a caller cannot know
    return str(location[1]) if len(location) > 1 else str(location[0])
