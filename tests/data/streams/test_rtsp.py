"""Streams of RTSP servers: through the one connection that was asked for, and through no other."""

import pathlib
import socket
import struct
import threading

import numpy as np
import pytest
from stream_server import cut, stream_server

from motion_vit import UserError
from motion_vit.data.streams.frame_source import frame_source

# A transport stream in RTP, RFC 2250: packets of 188 bytes, seven at a time.
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=control:{track}\r\n"
)
_PIECE = 7 * 188


def talk(
    connection: socket.socket, asked: str, data: bytes, *, host: str = "0.0.0.0", track: str = "track0"
) -> list[str]:
    """Answers the requests of one connection, and sends a transport stream when it is asked to play."""
    methods = []
    while asked:
        method = asked.partition(" ")[0]
        methods.append(method)
        number = asked.partition("CSeq: ")[2].partition("\r")[0]
        head = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n"
        body = ""
        if method == "DESCRIBE":
            body = SDP.format(host=host, track=track)
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            assert "RTP/AVP/TCP" in asked
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "OPTIONS":
            head += "Public: DESCRIBE, SETUP, PLAY\r\n"
        connection.sendall(f"{head}\r\n{body}".encode())
        if method == "PLAY":
            for place, start in enumerate(range(0, len(data), _PIECE)):
                packet = struct.pack(">BBHII", 0x80, 33, place, place * 3000, 1) + data[start : start + _PIECE]
                connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            return methods
        asked = connection.recv(4096).decode("latin-1")
    return methods


def test_pictures_come_through_the_connection_that_was_asked_for(
    transport_stream: pathlib.Path, pictures: np.ndarray
) -> None:
    data, methods = transport_stream.read_bytes(), []
    with stream_server(lambda connection, asked, _: methods.extend(talk(connection, asked, data))) as port:
        frames = list(frame_source(f"rtsp://127.0.0.1:{port}/live", timeout=10.0).frames(100))
    assert methods == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert len(frames) > 0.8 * len(pictures)
    np.testing.assert_array_equal(frames[0].picture, pictures[0])
    np.testing.assert_allclose(np.diff([frame.seconds for frame in frames]), 0.04, atol=1e-6)


@pytest.mark.parametrize("way", ["a redirection", "the host of the pictures", "the address of a track"])
def test_no_other_connection_is_made(way: str, transport_stream: pathlib.Path) -> None:
    data = transport_stream.read_bytes()
    others: list[str] = []
    with stream_server(lambda _, asked, __: others.append(asked)) as other:

        def answer(connection: socket.socket, asked: str, number: int) -> None:
            if way == "a redirection":
                place = f"rtsp://127.0.0.1:{other}/x"
                connection.sendall(f"RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: {place}\r\n\r\n".encode())
            elif way == "the host of the pictures":
                talk(connection, asked, data, host=f"127.0.0.1:{other}")
            else:
                talk(connection, asked, data, track=f"rtsp://127.0.0.1:{other}/x")

        with stream_server(answer) as port:
            frames = frame_source(f"rtsp://127.0.0.1:{port}/live", timeout=5.0, attempts=0).frames(100)
            if way == "a redirection":
                with pytest.raises(UserError, match="leads to another address, which is not followed"):
                    next(frames)
            else:
                assert len(list(frames)) > 0
    assert others == []


def test_udp_is_not_used_whatever_an_address_says(transport_stream: pathlib.Path) -> None:
    del transport_stream
    with (
        stream_server(lambda connection, asked, _: talk(connection, asked, b"") and None) as port,
        pytest.raises(UserError, match="cannot be read"),
    ):
        list(frame_source(f"rtsp://127.0.0.1:{port}/live?udp", timeout=2.0).frames(100))


def test_a_silent_server_is_left_after_the_timeout() -> None:
    ended = threading.Event()
    with stream_server(lambda *_: ended.wait(10) and None) as port:
        try:
            with pytest.raises(UserError, match=r"cannot be read: nothing has come for 0\.3 s"):
                list(frame_source(f"rtsp://127.0.0.1:{port}/x", timeout=0.3).frames(100))
        finally:
            ended.set()


def test_a_connection_that_is_cut_is_told() -> None:
    with (
        stream_server(lambda connection, *_: cut(connection)) as port,
        pytest.raises(UserError, match="cannot be read"),
    ):
        list(frame_source(f"rtsp://127.0.0.1:{port}/x", timeout=5.0).frames(100))
