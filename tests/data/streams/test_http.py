"""Streams of HTTP servers: in pieces, cut, silent, refused, and those that try to lead elsewhere."""

import base64
import pathlib
import socket
import threading
import time
import traceback
from collections.abc import Iterator

import numpy as np
import pytest
from hostile_videos import PLAYLISTS
from stream_server import Answer, cut, http_head, in_chunks, refused_port, stream_server

from motion_vit import UserError
from motion_vit.data.streams.frame_source import frame_source
from motion_vit.data.streams.timed_frame import TimedFrame


def frames_of(answer: Answer, *, path: str = "/live", **options: float) -> list[TimedFrame]:
    with stream_server(answer) as port:
        return list(frame_source(f"http://127.0.0.1:{port}{path}", **{"timeout": 5.0, **options}).frames(100))


def check_pictures(frames: list[TimedFrame], pictures: np.ndarray) -> None:
    np.testing.assert_array_equal([frame.picture for frame in frames], pictures)
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(len(pictures)) / 25)


@pytest.mark.parametrize("form", ["length", "chunks", "until it closes"])
def test_a_video_comes_in_pieces(form: str, transport_stream: pathlib.Path, pictures: np.ndarray) -> None:
    data = transport_stream.read_bytes()

    def answer(connection: socket.socket, asked: str, _: int) -> None:
        assert asked.startswith("GET /live?x=1 HTTP/1.1\r\n")
        headers = {"length": {"Content_Length": len(data)}, "chunks": {"Transfer_Encoding": "chunked"}}.get(form, {})
        body = in_chunks(data, 3000) + b"0\r\n\r\n" if form == "chunks" else data
        connection.sendall(http_head(**headers))
        for start in range(0, len(body), 5000):
            connection.sendall(body[start : start + 5000])
            time.sleep(0.001)

    check_pictures(frames_of(answer, path="/live?x=1"), pictures)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_whose_connection_is_cut_goes_on_where_it_was(
    ranges: bool, transport_stream: pathlib.Path, pictures: np.ndarray
) -> None:
    data = transport_stream.read_bytes()

    def answer(connection: socket.socket, asked: str, number: int) -> None:
        first = 0
        if ranges and "Range: bytes=" in asked:
            first = int(asked.partition("Range: bytes=")[2].partition("-")[0])
            part = f"bytes {first}-{len(data) - 1}/{len(data)}"
            connection.sendall(http_head("206 Partial Content", Content_Length=len(data) - first, Content_Range=part))
        else:
            connection.sendall(http_head(Content_Length=len(data)))
        stop = (number + 1) * len(data) // 3 if number < 2 else len(data)
        connection.sendall(data[first:stop])

    check_pictures(frames_of(answer), pictures)


def test_a_live_stream_that_is_cut_begins_again_after_a_gap(
    transport_stream: pathlib.Path, pictures: np.ndarray
) -> None:
    data = transport_stream.read_bytes()

    def answer(connection: socket.socket, _: str, number: int) -> None:
        connection.sendall(http_head(Transfer_Encoding="chunked") + in_chunks(data, 3000))
        if number < 2:
            cut(connection)
        else:
            connection.sendall(b"0\r\n\r\n")

    found = frames_of(answer, attempts=1)
    # What a cut costs are the last pictures before it.
    assert 2.5 * len(pictures) < len(found) <= 3 * len(pictures)
    seconds = [frame.seconds for frame in found]
    assert seconds == sorted(seconds)
    after = [number for number, frame in enumerate(found) if frame.after_gap]
    assert len(after) == 2
    np.testing.assert_array_equal(found[after[0]].picture, pictures[0])
    np.testing.assert_array_equal([frame.picture for frame in found[after[1] :]], pictures)


def test_attempts_to_connect_again_are_counted(transport_stream: pathlib.Path) -> None:
    data, asked = transport_stream.read_bytes(), []

    def answer(connection: socket.socket, _: str, number: int) -> None:
        asked.append(number)
        if not number:
            connection.sendall(http_head(Transfer_Encoding="chunked") + in_chunks(data, 3000))
        cut(connection)

    with pytest.raises(UserError, match=r"was lost: .*, and 3 attempts to connect again failed\.$"):
        frames_of(answer, attempts=3)
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize("after", [0, 4000])
def test_a_server_that_is_silent_is_left_after_the_timeout(after: int, transport_stream: pathlib.Path) -> None:
    ended = threading.Event()

    def answer(connection: socket.socket, _: str, __: int) -> None:
        if after:
            connection.sendall(http_head() + transport_stream.read_bytes()[:after])
        ended.wait(10)

    start = time.monotonic()
    with stream_server(answer) as port:
        frames = frame_source(f"http://127.0.0.1:{port}/x", timeout=0.2, attempts=0).frames(100)
        with pytest.raises(UserError, match=r"nothing has come for 0\.2 s"):
            list(frames)
        assert time.monotonic() - start < 3
        ended.set()


def test_interrupting_ends_a_wait_at_once(transport_stream: pathlib.Path) -> None:
    ended = threading.Event()

    def answer(connection: socket.socket, _: str, __: int) -> None:
        connection.sendall(http_head() + transport_stream.read_bytes())
        ended.wait(10)

    with stream_server(answer) as port:
        source = frame_source(f"http://127.0.0.1:{port}/", timeout=30.0)
        threading.Timer(0.5, source.interrupt).start()
        start = time.monotonic()
        assert list(source.frames(100))
        assert time.monotonic() - start < 5
        ended.set()


@pytest.mark.parametrize("text", PLAYLISTS)
def test_a_playlist_is_refused_and_nothing_that_it_names_is_opened(text: str, transport_stream: pathlib.Path) -> None:
    asked = []

    def answer(connection: socket.socket, request: str, number: int) -> None:
        asked.append(request.partition(" HTTP")[0])
        port = connection.getsockname()[1]
        body = text.replace("{other}", f"http://127.0.0.1:{port}/other.ts").encode()
        if number:
            body = transport_stream.read_bytes()
        connection.sendall(http_head(Content_Length=len(body), Content_Type="application/vnd.apple.mpegurl") + body)

    with pytest.raises(UserError, match=r"not followed|not a video|accepted|playlist|a drawing|an SVG"):
        frames_of(answer)
    assert asked == ["GET /live"]


def test_a_playlist_is_named_as_one() -> None:
    body = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/a.ts\n"
    with pytest.raises(UserError, match=r"/live: it is a playlist \(M3U\), which is not followed"):
        frames_of(lambda connection, *_: connection.sendall(http_head(Content_Length=len(body)) + body))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (http_head("404 Not Found"), "the server answers 404 Not Found; check the address"),
        (http_head("401 Unauthorized"), "answers 401 Unauthorized; check user and password"),
        (http_head("302 Found", Location="http://u:hidden@other/x"), "leads to http://other/x, which is not followed"),
        (http_head("503 Busy"), "the server answers 503 Busy"),
        (http_head(Content_Length=0), "it is empty"),
        (http_head(), "it is empty"),
        (http_head() + b"<!doctype html><html>", "a web page"),
        (b"SSH-2.0-OpenSSH\r\n", "the server has cut the connection, or does not speak HTTP"),
        (b"", "the server has cut the connection, or does not speak HTTP"),
    ],
)
def test_answers_without_a_stream_are_told(head: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        frames_of(lambda connection, *_: connection.sendall(head))


def test_a_password_reaches_the_server_and_no_message(transport_stream: pathlib.Path) -> None:
    password = " ".join(["se", "cret"])
    logins = []

    def answer(connection: socket.socket, asked: str, _: int) -> None:
        logins.append(asked.partition("Authorization: Basic ")[2].partition("\r")[0])
        connection.sendall(http_head("403 Forbidden"))

    with stream_server(answer) as port, pytest.raises(UserError, match=r"http://127\.0\.0\.1.* answers 403") as told:
        list(frame_source(f"http://me:{password.replace(' ', '%20')}@127.0.0.1:{port}/x").frames(100))
    assert base64.b64decode(logins[0]).decode() == f"me:{password}"
    assert "cret" not in "".join(traceback.format_exception_only(told.value))
    assert told.value.__cause__ is None


@pytest.fixture
def nobody() -> Iterator[int]:
    with refused_port() as port:
        yield port


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp"])
def test_a_port_at_which_nobody_listens_is_told_at_once(scheme: str, nobody: int) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=rf"{scheme}://127\.0\.0\.1:\d+/x cannot be read: connection refused"):
        list(frame_source(f"{scheme}://me:secret@127.0.0.1:{nobody}/x").frames(100))
    assert time.monotonic() - start < 3
