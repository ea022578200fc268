"""The web page at `/`: the files beside this module, and the facts that the page needs first."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ds2.serving.engine.service import Service

FILES = Path(__file__).parent / "files"
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",  # only the following, and nothing from other hosts
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        # Names stay the same when contents change, because there is no build step. So browsers
        # ask each time, and get an empty answer if they have the newest file.
        "Cache-Control": "no-cache",
    }
)

_Endpoint = Callable[[Request], Awaitable[Response]]


def routes(service: Service) -> list[Route]:
    """The page at `/`, its parts at `/page/NAME`, and its facts at `/page/server.json`."""
    files = {path.name: path for path in sorted(FILES.iterdir())}
    index = files.pop("index.html")
    return [
        Route("/", _file(index)),
        Route("/page/server.json", _facts(service)),
        *(Route(f"/page/{name}", _file(path)) for name, path in files.items()),
    ]


def _file(path: Path) -> _Endpoint:
    """An endpoint that answers with a file, which it keeps in memory."""
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": tag, "Content-Type": MEDIA_TYPES[path.suffix]}

    async def answer(request: Request) -> Response:
        if _knows(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return answer


def _knows(request: Request, tag: str) -> bool:
    """Whether the browser has the file already. A proxy that compresses makes the tag weak."""
    tags = request.headers.get("if-none-match", "").split(",")
    return tag in {each.strip().removeprefix("W/") for each in tags}


def _facts(service: Service) -> _Endpoint:
    """An endpoint that answers with the models, and whether clients need a key."""

    async def answer(request: Request) -> Response:
        del request
        models = [
            {
                "name": card.name,
                "language": card.language,
                "latency_s": card.bundle.latency_s,
                "streaming": card.bundle.model.streaming,
            }
            for card in service.models.values()
        ]
        facts = {"models": models, "needs_key": bool(service.settings.api_keys)}
        return JSONResponse(facts, headers={**HEADERS, "Cache-Control": "no-store"})

    return answer
