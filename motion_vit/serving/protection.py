"""Stands before all answers: headers that protect browsers, checks of who is meant, counts, and a patient close.

A page of a stranger can send requests to servers of the machine that it is read on. It cannot read answers, because no
answer allows that. `RightAddress` refuses such requests altogether, and those that come by a name of the stranger's
that leads to this machine ("DNS rebinding"), whose answers the page could read.
"""

import asyncio
import ipaddress
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from motion_vit.files.json_text import json_text
from motion_vit.ranges import shown
from motion_vit.serving.metrics import Metrics

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine for itself."""

_HEADERS = {
    "Cache-Control": "no-store",
    # The page brings its own, which allows its script and style.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The next request of a connection would have to be waited for; this way each has its limit of time.
    "Connection": "close",
}

# What a sender may still send after an answer. To close at once would take the answer from it.
_LINGERING_BYTES = 1_000_000_000
_LINGERING_SECONDS = 2.0


def is_loopback(host: str) -> bool:
    """Tells if an address leads to this machine alone.

    Args:
      host: a name or a number.
    """
    try:
        return host in LOOPBACK_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """Returns the name in the header Host or in the part of an address that it stands for, in lower case.

    Args:
      header: such as `localhost:8000` or `[::1]:8000`.
    """
    name, bracket, _ = header.removeprefix("[").partition("]")
    return (name if bracket else header.partition(":")[0]).lower().rstrip(".")


class RightAddress:
    """Refuses requests that are meant for another server, or sent by a page of another one.

    Args:
      app: what answers.
      names: those of this server, in lower case; None takes any.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] | None) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._names is not None and host_name(host) not in self._names:
            sentence = f"this server is not {shown(host)}; --allow-host says which other names it answers to."
            await send_json(send, 421, {"error": sentence})
        elif origin is not None and origin.partition("://")[2].lower() != host.lower():
            await send_json(send, 403, {"error": f"a page of {shown(origin)} may not ask this server."})
        elif origin is None and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A link to the page is followed by a person; a picture or a script of another page is not.
            if headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET":
                await self._app(scope, receive, send)
            else:
                await send_json(send, 403, {"error": "a page of another server may not ask this one."})
        else:
            await self._app(scope, receive, send)


class ProtectiveHeaders:
    """Adds the headers that every answer has.

    Args:
      app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add)


class PatientClose:
    """Reads on for a moment after an answer that came before the end of its request.

    Args:
      app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        headers = Headers(scope=scope)
        is_coming = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

        async def take() -> Message:
            nonlocal is_coming
            message = await receive()
            is_coming = message["type"] == "http.request" and bool(message.get("more_body"))
            return message

        async def answer(message: Message) -> None:
            if message["type"] != "http.response.body" or message.get("more_body") or not is_coming:
                await send(message)
                return
            await send({**message, "more_body": True})
            left, end = _LINGERING_BYTES, time.monotonic() + _LINGERING_SECONDS
            try:
                async with asyncio.timeout(_LINGERING_SECONDS):
                    while is_coming and left > 0 and time.monotonic() < end:
                        left -= len((await take()).get("body", b""))
            except TimeoutError:
                pass
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, take, answer)


class Counted:
    """Counts requests and measures their time.

    Args:
      app: what answers.
      metrics: counts.
      paths: those of the server, which are counted by name.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        path = scope["path"] if scope["path"] in self._paths else "other"
        begun = time.monotonic()

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(path, str(message["status"])).inc()
                self._metrics.seconds.labels(path).observe(time.monotonic() - begun)
            await send(message)

        with self._metrics.open.track_inprogress():
            await self._app(scope, receive, note)


async def send_json(send: Send, status: int, value: Any) -> None:
    """Sends an answer of JSON.

    Args:
      send: of the request.
      status: of HTTP.
      value: as for `json_text`.
    """
    body = json_text(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
