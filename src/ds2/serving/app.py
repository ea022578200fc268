"""The web application: all protocols side by side, behind one guard."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from ds2.serving.access.access import Access
from ds2.serving.access.errors import error_response
from ds2.serving.access.guard import Guard
from ds2.serving.engine.metrics import CONTENT_TYPE
from ds2.serving.engine.refused import Refused
from ds2.serving.engine.request_id import told_of_fault
from ds2.serving.engine.service import Service
from ds2.serving.protocols import native, sherpa, vosk
from ds2.serving.protocols.deepgram import live as deepgram
from ds2.serving.protocols.openai import transcriptions
from ds2.serving.protocols.openai.realtime import connection as realtime
from ds2.serving.protocols.page import routes as page

_Handler: TypeAlias = Callable[[Request, Exception], Response]


def build_app(service: Service, access: Access) -> ASGIApp:
    """The application on the main port: all protocols."""
    protocols = (native, transcriptions, deepgram, vosk, sherpa, page)
    routes = [route for protocol in protocols for route in protocol.routes(service)]
    routes += realtime.routes(service, access.secrets)
    return guarded([*_watching(service), *routes], service, access)


def guarded(routes: list[BaseRoute], service: Service, access: Access) -> ASGIApp:
    """Routes behind the guard. All errors get answers of one form.

    The outermost layer tells browsers which pages may read an answer. It covers refusals, too.
    """
    handlers: Mapping[Any, _Handler] = {
        Refused: _refused,
        404: _not_found,
        405: _not_allowed,
        Exception: _failed,
    }
    app = Guard(Starlette(routes=routes, exception_handlers=handlers), service, access)
    origins = list(service.settings.allowed_origins)
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["dg-request-id", "retry-after", "x-request-id"],
    )


def _watching(service: Service) -> list[BaseRoute]:
    """Routes for programs that watch this server."""

    async def health(request: Request) -> Response:
        del request
        status = "ok" if service.is_alive else "failed"
        body = {"status": status, "streams": service.num_sessions}
        return JSONResponse(body, 200 if service.is_alive else 500)

    async def ready(request: Request) -> Response:
        del request
        is_ready = service.is_ready
        status = "ready" if is_ready else "draining" if service.is_draining else "full"
        return JSONResponse({"status": status}, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        del request
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]


def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refused)
    return error_response(error.status, error.message, error.param)


def _not_found(request: Request, error: Exception) -> Response:
    del error
    return error_response(404, f"there is nothing at {request.url.path}")


def _not_allowed(request: Request, error: Exception) -> Response:
    del error
    return error_response(405, f"{request.url.path} does not take {request.method}")


def _failed(request: Request, error: Exception) -> Response:
    del request, error  # the guard logs it
    return error_response(500, told_of_fault("request"))
