"""Calendar feeds over HTTP: whoever shows the secret in the address reads the calendar, as often as nothing has changed for free."""

import hashlib

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.calendar_file import MEDIA_TYPE
from models.refusal import Refusal
from resolvers.calendars import feed_shown
from server.identity import RETRY
from server.request import BadRequestError, Headers, refusal

COST_OF_A_FEED = 50  # points of the address: whether there is one is looked for in the database
UNKNOWN = "There is no such calendar."


async def calendar(request: Request) -> Response:
    """Answer a feed; what never was one, and what is one no longer, are answered alike."""
    try:
        await request.app.state.gate.charge(request.scope, COST_OF_A_FEED)
        content = await feed_shown(request.app.state.database, request.path_params["secret"])
    except BadRequestError as refused:
        return _refused(request, refused.status, refused.code, str(refused), refused.headers)
    except Refusal as lost:
        return _refused(request, 503, lost.code, lost.sentence, RETRY)
    if content is None:
        return _refused(request, 404, "NOT_FOUND", UNKNOWN)
    return _answered(request, content.encode())


def _answered(request: Request, content: bytes) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "private, max-age=300", "x-robots-tag": "noindex"}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    headers |= {"content-disposition": 'inline; filename="calendar.ics"', "content-length": str(len(content))}
    body = b"" if request.method == "HEAD" else content
    return Response(body, headers=headers, media_type=MEDIA_TYPE)


def _has(asked: str, tag: str) -> bool:
    """Whether a reader has this content; a proxy that packs it makes the tag a weak one (RFC 9110, 13.1.2)."""
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in asked.split(","))


def _refused(request: Request, status: int, code: str, sentence: str, headers: Headers = ()) -> Response:
    told = {str(name, "ascii"): str(value, "ascii") for name, value in headers}
    return JSONResponse(refusal(request.state.request_id, code, sentence), status, told)
