"""A connection that is not kept open for who sends nothing."""

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""Seconds in which the headers of a request have to arrive."""


class PromptConnection(H11Protocol):
    """Closes a connection whose headers do not arrive in time, which uvicorn would wait for without an end."""

    header_seconds = HEADER_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the time of the headers."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._late = self.loop.call_later(self.header_seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        """Takes what was sent; the headers are there once there is something to answer."""
        super().data_received(data)
        if self.cycle is not None:
            self._late.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time of the headers."""
        self._late.cancel()
        super().connection_lost(exc)
