"""``Access``: middleware that lets in only a browser on this machine with the token.

The server listens only on the loopback address. That blocks other machines but not other web pages in the same browser, so
every request needs a ``Host`` of this machine (DNS rebinding is blocked by Starlette's
``TrustedHostMiddleware``), a cookie that no script can read, and, where something is written, an ``Origin`` that is
the page itself.
The token is passed once in the URL and removed from it immediately, so it does not end up in a synced history or a referrer.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

HOSTS = ["127.0.0.1", "localhost"]
REFUSAL = "Open this page with the full address from the terminal, including its token (http://127.0.0.1:PORT/?token=...).\n"


def new_token() -> str:
    """256 bits, new at every start of the server."""
    return secrets.token_urlsafe(32)


class Access:
    """ASGI middleware: requires the token, and adds the headers below to every response.

    Args:
        token: the required token in the URL or the cookie.
        cookie: its name; one per port, because browsers share cookies across all ports of a host.
        policy: the Content-Security-Policy.
    """

    def __init__(self, app: Any, token: str, cookie: str, policy: str):
        self.app, self.token, self.cookie, self.policy = app, token, cookie, policy

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self.policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._answer(Request(scope))(scope, receive, sent)

    def _answer(self, request: Request) -> Any:
        given = request.query_params.get("token")
        if given is not None and request.method == "GET":
            if not self._is_token(given):
                return PlainTextResponse(REFUSAL, 403)
            rest = request.url.remove_query_params("token")
            answer = RedirectResponse(rest.path + (f"?{rest.query}" if rest.query else ""), 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return answer
        if not self._is_token(request.cookies.get(self.cookie, "")):
            return PlainTextResponse(REFUSAL, 403)
        if request.method not in ("GET", "HEAD") and not self._own_page(request):
            return PlainTextResponse("Only the viewer's own page may write.\n", 403)
        return self.app

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    @staticmethod
    def _own_page(request: Request) -> bool:
        origin = request.headers.get("origin")
        return origin == f"{request.url.scheme}://{request.headers.get('host', '')}"
