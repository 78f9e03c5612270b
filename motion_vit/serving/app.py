"""The answers of a server: predictions, health, metrics and the page."""

import asyncio
import contextlib
import functools
import os
import pathlib
import secrets
import tempfile
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from motion_vit.errors import UserError
from motion_vit.files.json_text import json_text
from motion_vit.serving.classifier import Answer, Classifier
from motion_vit.serving.decoding_process import Decoding
from motion_vit.serving.html_page import CONTENT_POLICY, page_html
from motion_vit.serving.metrics import Metrics
from motion_vit.serving.places import Place, Places
from motion_vit.serving.protection import (
    LOOPBACK_NAMES,
    Counted,
    PatientClose,
    ProtectiveHeaders,
    RightAddress,
    host_name,
    is_loopback,
)
from motion_vit.serving.question import Question, read_question
from motion_vit.serving.refusal import RefusedRequestError
from motion_vit.serving.settings import ServerSettings
from motion_vit.serving.upload import Upload

_PATHS = ("/", "/predict", "/healthz", "/metrics")
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# What some proxies log for a request whose sender has gone; nobody reads it.
_GONE_STATUS = 499
_INTERNAL_FAULT = "a fault of the server; its log says more."


class PredictionApp:
    """The application of a server.

    Args:
      classifier: the model.
      settings: bounds.
      lifespan: is entered when the server starts and left when it stops.

    Attributes:
      metrics: counts.
      is_ready: whether the model is compiled; requests are refused before.
    """

    def __init__(
        self,
        classifier: Classifier,
        settings: ServerSettings,
        lifespan: Callable[[], contextlib.AbstractAsyncContextManager[None]],
    ) -> None:
        self._classifier, self._settings = classifier, settings
        self.metrics = Metrics()
        self.is_ready = False
        self._places = Places(settings.concurrency, settings.places, self.metrics)
        # Of the owner alone, and removed with all that is in it.
        self._folder = tempfile.TemporaryDirectory(prefix="motion_vit-serve-")
        self._page = page_html(classifier.name)
        self._starlette = Starlette(
            routes=[
                Route("/", self._show_page),
                Route("/predict", self._predict, methods=["POST"]),
                Route("/healthz", self._tell_health),
                Route("/metrics", self._tell_metrics),
            ],
            exception_handlers={
                HTTPException: _refuse_http,
                UserError: _refuse,
                Exception: _admit_fault,
            },
            lifespan=lambda _: lifespan(),
        )
        self._protected = self._protect(self._starlette)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, as ASGI has it, or starts and stops.

        Args:
          scope: of ASGI.
          receive: of ASGI.
          send: of ASGI.
        """
        await (self._protected if scope["type"] == "http" else self._starlette)(scope, receive, send)

    def make_ready(self) -> None:
        """Compiles the model, which takes a while, and takes requests from then on.

        Raises:
          UserError: as `Classifier.warm`.
        """
        self._classifier.warm(self._settings.concurrency)
        self.is_ready = True
        self.metrics.ready.set(1)

    def close(self) -> None:
        """Waits for what runs, ends the processes that decode, and removes temporary files."""
        self._places.close()
        self._classifier.processes.close()
        self._folder.cleanup()

    def _protect(self, app: ASGIApp) -> ASGIApp:
        settings = self._settings
        names: set[str] | None = None
        if settings.allowed_hosts or is_loopback(settings.host):
            names = {*LOOPBACK_NAMES, settings.host.lower(), *map(host_name, settings.allowed_hosts)}
        return Counted(ProtectiveHeaders(PatientClose(RightAddress(app, names))), self.metrics, _PATHS)

    async def _show_page(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers={"Content-Security-Policy": CONTENT_POLICY})

    async def _tell_health(self, request: Request) -> Response:
        if self.is_ready:
            return _json(200, {"status": "ready", "model": self._classifier.name})
        return _json(503, {"status": "starting", "model": self._classifier.name}, retry_after=1)

    async def _tell_metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), headers={"Content-Type": _METRICS_TYPE})

    async def _predict(self, request: Request) -> Response:
        if not self.is_ready:
            raise RefusedRequestError(503, "the model is not ready yet; try again in a moment.", 1)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.time_limit
        with self._places.entered() as place:
            path = pathlib.Path(self._folder.name, secrets.token_hex(16))
            try:
                upload, question = await self._receive(request, path, deadline)
                answer = await self._answer(request, path, upload.name, question, place, deadline)
            except ClientDisconnect:
                return Response(status_code=_GONE_STATUS)
            finally:
                path.unlink(missing_ok=True)
        if answer.failure:
            status = 500 if answer.is_fault_of_weights else 422
            return _json(status, {"error": answer.failure, "answers": [answer.entry]})
        return _json(200, [answer.entry])

    async def _receive(self, request: Request, path: pathlib.Path, deadline: float) -> tuple[Upload, Question]:
        """Writes the video of a request to a file, and reads what is asked of it."""
        query = request.query_params.multi_items()
        read_question(query)  # so that a mistake is told before the video has come
        with open(path, "wb", opener=_open_privately) as file:
            upload = Upload(file, request.headers.get("content-type", ""), self._settings.max_upload)
            upload.check_length(request.headers.get("content-length"))
            try:
                async with asyncio.timeout_at(deadline):
                    await upload.receive(request.stream())
            except TimeoutError:
                raise RefusedRequestError(
                    408, f"the video did not arrive within {self._settings.time_limit:g} s, the limit of this server."
                ) from None
            finally:
                self.metrics.upload_bytes.inc(upload.size)
        return upload, read_question([*query, *upload.fields])

    async def _answer(
        self, request: Request, path: pathlib.Path, name: str, question: Question, place: Place, deadline: float
    ) -> Answer:
        """Asks the model, and stops the decoding when the time is over or nobody waits for it any more."""
        decoding = Decoding(self._classifier.processes)
        ask = functools.partial(self._classifier.answer, str(path), name, question, decoding)
        work = place.work(ask)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            seconds = deadline - asyncio.get_running_loop().time()
            awaited: set[asyncio.Future[Any]] = {work, gone}
            await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise ClientDisconnect
            raise RefusedRequestError(
                504,
                f"the video was not classified within {self._settings.time_limit:g} s, the limit of this server; send "
                "a shorter one, or a part of it by start and end.",
            )
        finally:
            gone.cancel()
            if not work.done():
                decoding.stop()
                work.add_done_callback(_forget)
                work.cancel()


def _forget(work: "asyncio.Future[Answer]") -> None:
    """Takes the exception of work that nobody waits for, which would be logged as lost."""
    if not work.cancelled():
        work.exception()


async def _disconnected(request: Request) -> None:
    """Waits until the sender has gone; the body has come already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def _json(status: int, value: Any, *, retry_after: int = 0) -> Response:
    headers = {"Content-Type": "application/json"} | ({"Retry-After": str(retry_after)} if retry_after else {})
    return Response(json_text(value), status, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, RefusedRequestError):
        return _json(error.status, {"error": str(error)}, retry_after=error.retry_after)
    return _json(400, {"error": str(error)})


async def _refuse_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    known = ", ".join(_PATHS)
    sentences = {
        404: f"there is nothing at this path; there is {known}.",
        405: "this path takes another method: POST /predict with a video, and GET for all others.",
    }
    response = _json(error.status_code, {"error": sentences.get(error.status_code, f"{error.detail}.")})
    response.headers.update(error.headers or {})
    return response


async def _admit_fault(request: Request, error: Exception) -> Response:
    return _json(500, {"error": _INTERNAL_FAULT})
