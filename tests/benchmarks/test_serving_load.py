"""The load of a server: what clients measure, and the table."""

import http.server
import os
import threading
from collections.abc import Iterator

import pytest
from serving_load import Round, ask, load, processor_seconds, table


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if body == b"bad" else 200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_clients_share_the_requests_and_count_what_is_no_answer(port: int) -> None:
    found = load(port, [b"good", b"good", b"good", b"bad"], 3, 40, 60.0, os.getsid(0))
    assert found.errors == 10
    assert 0 < found.median <= found.slow
    assert found.rate > 0
    assert load(port, [b"good"], 2, 10**9, 0.2, os.getsid(0)).errors == 0


def test_a_server_that_is_not_there_is_an_error() -> None:
    assert ask(1, b"", 1.0) == 0


def test_the_processor_time_of_this_session_grows() -> None:
    before = processor_seconds(os.getsid(0))
    while processor_seconds(os.getsid(0)) == before:
        sum(range(10_000))


def test_the_table_has_medians_with_their_spread() -> None:
    rounds = [Round(rate, 0.01, 0.02, 1, 0.005) for rate in (9.0, 10.0, 20.0)]
    assert table({2: rounds}).splitlines()[-1] == (
        "| 2 | 10 (9 to 20) | 10 (10 to 10) | 20 (20 to 20) | 3 | 5 (5 to 5) |"
    )
