"""The body of an error response: HTML for people, JSON for programs that ask for it."""

from __future__ import annotations

import json
from html import escape

from skitai.http.qvalues import weights
from skitai.http.status import phrase

HTML = "text/html; charset=utf-8"
JSON = "application/json"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 60rem; padding: 0 1rem }}
h1 {{ font-weight: 500 }}
pre {{ background: #f4f4f4; overflow: auto; padding: 1rem }}
</style>
</head>
<body>
<h1 id="titles">{title}</h1>
{detail}</body>
</html>
"""


def render(status: int, message: str, accept: str, traceback: str | None = None) -> tuple[str, bytes]:
    """An error page: its content type and its bytes.

    JSON has ``code`` (the status times 100, plus 90 when a traceback follows), ``message`` and, with a traceback, ``debug``
    and ``traceback`` (a list of lines).

    :param message: what to tell the client; "" leaves it at the reason phrase.
    :param accept: value of the request's Accept field; "" when there is none.
    :param traceback: shown to the client, so only for apps under debug.
    """
    if wants_json(accept):
        return JSON, _json(status, message, traceback)
    detail = f'<p id="detail">{escape(message)}</p>\n' if message else ""
    if traceback is not None:
        detail += f'<pre id="traceback">{escape(traceback)}</pre>\n'
    page = _PAGE.format(title=f"{status} {escape(phrase(status))}", detail=detail)
    return HTML, page.encode("utf-8", "replace")


def wants_json(accept: str) -> bool:
    """Whether JSON is named in an Accept field, and not with less weight than HTML."""
    if "json" not in accept.lower():
        return False
    wanted = weights(accept)
    weight = wanted.get(JSON, 0.0)
    return weight > 0 and weight >= wanted.get("text/html", 0.0)


def _json(status: int, message: str, traceback: str | None) -> bytes:
    answer: dict[str, object] = {"code": status * 100, "message": message or phrase(status).lower()}
    if traceback is not None:
        answer |= {"code": status * 100 + 90, "debug": "see traceback", "traceback": traceback.splitlines()}
    return json.dumps(answer).encode("ascii")
