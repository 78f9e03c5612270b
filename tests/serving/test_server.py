"""A running server: answers, limits, refusals and what hostile senders get."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import random
import signal
import socket
import tempfile
import time
from collections.abc import Iterator

import jax
import pytest
from hostile_videos import PLAYLISTS
from running_server import BOUNDARY, FORM_TYPE, Answer, RunningServer, form, part, running_server
from small_trained_model import small_trained_model
from small_videos import ENCODINGS, Encoding, encode, moving_texture

import motion_vit
from motion_vit.serving.connection import PromptConnection
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.parallel.mesh import data_mesh

MOST_BYTES = 300_000
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
RUNNING, WAITING, OPEN = "motion_vit_videos_running", "motion_vit_videos_waiting", "motion_vit_requests_open"


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in ("mpeg4 in avi", "vp8"):
        encode(folder / f"clip{ENCODINGS[name].suffix}", ENCODINGS[name], moving_texture())
    return folder


@pytest.fixture(scope="module")
def video(videos: pathlib.Path) -> bytes:
    return (videos / "clip.avi").read_bytes()


@pytest.fixture(scope="module")
def folder_of_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """The folder of temporary files while a server of the module runs."""
    before, folder = tempfile.tempdir, tmp_path_factory.mktemp("temporary")
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def shared_server(trained: TrainedModel, folder_of_servers: pathlib.Path) -> Iterator[RunningServer]:
    with running_server(trained, concurrency=2, queue=20, max_upload=MOST_BYTES) as server:
        yield server
    assert list(folder_of_servers.glob("motion_vit*")) == []


@pytest.fixture
def server(shared_server: RunningServer, folder_of_servers: pathlib.Path) -> Iterator[RunningServer]:
    """A server that afterwards answers as before, and keeps nothing of what it was sent."""
    yield shared_server
    shared_server.wait_for_metric(OPEN, 1.0)
    assert [path for path in folder_of_servers.rglob("*") if path.is_file()] == []
    assert shared_server.metric(RUNNING) == shared_server.metric(WAITING) == 0


def assert_is_refused(answer: Answer, status: int, *parts: str) -> None:
    assert answer.status == status, answer.body
    for text in parts:
        assert text in answer.error
    assert b"Traceback" not in answer.body
    assert b"/temporary" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"


def expected(trained: TrainedModel, path: pathlib.Path, **options: object) -> list[dict[str, object]]:
    """What `predict --json` writes for a file of this name."""
    (entry,) = (one.to_dict() for one in trained.predict([path], mesh=data_mesh(jax.devices()[:1]), **options))
    return [{**entry, "video": path.name}]


def test_a_form_and_a_plain_body_get_what_predict_answers(
    server: RunningServer, trained: TrainedModel, videos: pathlib.Path
) -> None:
    for name in ("clip.avi", "clip.webm"):
        data = (videos / name).read_bytes()
        assert server.predict(data, name=name).json == expected(trained, videos / name)
        answer = server.predict(data, "?end=1.5s", name=name, top="all", start="0.5")
        assert answer.json == expected(trained, videos / name, top="all", start=0.5, end=1.5)
        for kind in ({}, {"Content-Type": "video/mp4"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            (entry,) = server.ask("POST", "/predict?top=2", data, kind).json
            assert [entry] == [{**expected(trained, videos / name, top=2)[0], "video": "upload"}]


def test_windows_ask_for_a_timeline(server: RunningServer, trained: TrainedModel, videos: pathlib.Path) -> None:
    path = videos / "clip.avi"
    answer = server.predict(path.read_bytes(), window="0.5", hop="0.25s", enter="0.05", name=path.name)
    rules = motion_vit.training.inference.segments.SegmentRules.of(0.05, None, None)
    mesh = data_mesh(jax.devices()[:1])
    alone = trained.timeline(path, window=0.5, hop=0.25, rules=rules, batch_size=1, mesh=mesh)
    assert alone.segments
    assert answer.json == [{**alone.to_dict(), "video": path.name}]


def test_health_metrics_and_the_page_answer(server: RunningServer, video: bytes) -> None:
    assert server.ask("GET", "/healthz").json["status"] == "ready"
    counted = [f'motion_vit_requests_total{{path="/predict",status="{status}"}}' for status in (200, 422)]
    before = [server.metric(line) for line in (*counted, "motion_vit_upload_bytes_total")]
    assert server.predict(video).status == 200
    assert server.predict(b"text").status == 422
    after = [server.metric(line) for line in (*counted, "motion_vit_upload_bytes_total")]
    assert after == [before[0] + 1, before[1] + 1, before[2] + len(video) + 4]
    page = server.ask("GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert server.ask("HEAD", "/").body == b""


def test_what_is_asked_wrongly_is_refused_with_a_sentence(server: RunningServer, video: bytes) -> None:
    assert_is_refused(server.ask("GET", "/predict"), 405, "POST /predict")
    assert_is_refused(server.ask("DELETE", "/"), 405, "another method")
    assert_is_refused(server.ask("POST", "/predikt", video), 404, "/predict")
    assert_is_refused(server.ask("GET", "/../../etc/passwd"), 404)
    assert_is_refused(server.predict(video, "?topp=3"), 400, "Did you mean 'top'?")
    assert_is_refused(server.predict(video, top="0"), 400, "top is '0'", "from 1 to 1000000")
    assert_is_refused(server.predict(video, "?top=2", top="3"), 400, "comes twice")
    assert_is_refused(server.predict(video, start="2", end="1"), 400, "window of time")
    assert_is_refused(server.predict(video, hop="1"), 400, "give window, too")
    assert_is_refused(server.ask("POST", "/predict", video, {"Content-Type": "multipart/form-data"}), 400, "boundary")


def test_broken_videos_get_the_sentence_of_predict(
    server: RunningServer, trained: TrainedModel, video: bytes, tmp_path: pathlib.Path
) -> None:
    raw = encode(tmp_path / "raw.avi", Encoding(".avi", "rawvideo", {}), moving_texture(frames=3)).read_bytes()
    size, huge = (b"".join(n.to_bytes(4, "little") for n in numbers) for numbers in ((40, 64, 48), (40, 2**14, 2**13)))
    assert size in raw
    broken = {
        "empty.mp4": b"",
        "text.mp4": b"Not a video.\n" * 20,
        "cut.avi": video[: len(video) // 2],
        "huge.avi": raw.replace(size, huge),
        "noise.webm": random.Random(0).randbytes(5000),
        **{f"list{n}.m3u8": text.format(other="/etc/passwd").encode() for n, text in enumerate(PLAYLISTS)},
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        (alone,) = expected(trained, tmp_path / name)
        answer = server.predict(data, name=name)
        assert_is_refused(answer, 422, str(alone["error"]))
        assert answer.json == {"error": alone["error"], "answers": [alone]}
        assert_is_refused(server.predict(data, name=name, window="1"), 422)
        assert name != "huge.avi" or "16384x8192" in answer.error


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..", ".."),
        ("C:\\videos\\a.mp4", "a.mp4"),
        ("/dev/zero", "zero"),
        ("", "upload"),
        ("<script>alert(1)</script>.mp4", "script>.mp4"),
        ("\u202egpj.mp4", "\u202egpj.mp4"),
        ("\udcff.mp4", "\\xff.mp4"),
        ("x" * 3000 + ".mp4", "x" * 169 + "..." + "x" * 80 + ".mp4"),
    ],
)
def test_a_file_name_is_shown_and_is_no_path(server: RunningServer, video: bytes, sent: str, shown: str) -> None:
    answer = server.predict(video, name=sent)
    assert answer.status == 200
    assert len(answer.json[0]["video"]) <= 255
    if len(sent) < 255:
        assert answer.json[0]["video"] == shown
    assert answer.body.isascii()


def test_a_file_name_cannot_end_its_line(server: RunningServer, video: bytes) -> None:
    answer = server.predict(video, name="a\r\nSet-Cookie: x=1\r\n.mp4")
    assert answer.status in (200, 400)
    assert "set-cookie" not in answer.headers
    assert answer.status == 400 or answer.json[0]["video"] == "upload"


def test_forms_that_are_none_or_hold_too_much_are_refused(server: RunningServer, video: bytes) -> None:
    whole = form(video)
    end = f"--{BOUNDARY}--\r\n".encode()

    def send(body: bytes) -> Answer:
        return server.ask("POST", "/predict", body, FORM_TYPE)

    assert_is_refused(send(whole[: len(whole) // 2]), 400, "ends before its last boundary")
    assert_is_refused(send(b"no form at all"), 400, "no form")
    assert_is_refused(send(b""), 400, "ends before")
    assert_is_refused(send(part('name="top"', b"3") + end), 400, "no part video")
    assert_is_refused(send(part('name="video"; filename="a"', video) + whole), 400, "several videos")
    assert_is_refused(send(part("", b"3") + whole), 400, "there is no field")
    assert_is_refused(send(part('name="top"', b"3") * 5000 + whole), 400, "too many fields")
    assert_is_refused(send(part('name="top"', b"9" * 50_000) + whole), 400, "top is '99999")
    assert_is_refused(send(part('name="a%s"' % ("b" * 10_000), b"3") + whole), 400)
    header = b"--b0undary\r\n" + b"X: y\r\n" * 1000 + b"\r\n"
    assert_is_refused(send(header + whole), 400, "no form")


def test_too_long_uploads_are_refused_whatever_they_say_of_their_length(server: RunningServer, video: bytes) -> None:
    padded = video + bytes(MOST_BYTES - len(video))
    assert server.ask("POST", "/predict", padded).status == 200
    assert server.predict(padded).status == 200
    assert_is_refused(server.ask("POST", "/predict", padded + b"x"), 413, str(MOST_BYTES))
    assert_is_refused(server.predict(padded + b"x"), 413)
    chunk = bytes(10_000)
    chunks_sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal chunks_sent
        for chunks_sent in range(10**6):
            yield chunk
            if chunks_sent > 2 * MOST_BYTES / len(chunk):
                return

    assert_is_refused(server.ask("POST", "/predict", endless()), 413)
    # What it says is refused before any of it is sent.
    for length, status in ((MOST_BYTES + 1, b" 413 "), (10**19, b" 413 "), (10**30, b" 400 ")):
        with server.raw(HEAD % length) as connection:
            assert status in connection.recv(4096)


def test_a_wrong_length_is_a_broken_video_or_a_sender_that_has_gone(server: RunningServer, video: bytes) -> None:
    with server.raw(HEAD % 1000 + video) as connection:
        assert b" 422 " in connection.recv(4096)
    with server.raw(HEAD % (len(video) + 1) + video) as connection:
        server.wait_for_metric(OPEN, 2.0)
    server.wait_for_metric(OPEN, 1.0)
    for length in (b"-1", b"x", b"5, 6"):
        with server.raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n\r\n") as one:
            assert b" 400 " in one.recv(4096)


def test_requests_meant_for_others_are_refused(server: RunningServer, video: bytes) -> None:
    assert server.ask("GET", "/healthz", headers={"Host": f"localhost:{server.port}"}).status == 200
    assert server.ask("GET", "/healthz", headers={"Host": f"[::1]:{server.port}"}).status == 200
    for host in ("evil.example", f"evil.example:{server.port}", "", "localhost.evil.example", "127.0.0.1.evil.example"):
        assert_is_refused(server.ask("GET", "/healthz", headers={"Host": host}), 421, "--allow-host")
    own = f"http://127.0.0.1:{server.port}"
    answer = server.ask("POST", "/predict", video, {"Origin": own})
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    for origin in ("http://evil.example", "null", f"http://localhost:{server.port}", "http://127.0.0.1:1"):
        assert_is_refused(server.ask("POST", "/predict", video, {"Origin": origin}), 403)
    assert_is_refused(server.ask("GET", "/metrics", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.ask("GET", "/", headers=followed).status == 200


def test_many_at_once_are_answered_as_one_alone(server: RunningServer, video: bytes) -> None:
    alone = server.predict(video).json
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: server.predict(video), range(12)))
    assert [answer.json for answer in answers] == [alone] * 12


@contextlib.contextmanager
def held_decoders(server: RunningServer) -> Iterator[None]:
    """Keeps the processes that decode from going on, as a video would that takes for ever."""
    server.signal_workers(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal_workers(signal.SIGCONT)


def test_beyond_the_places_requests_are_refused_and_those_that_have_one_are_answered(
    trained: TrainedModel, video: bytes
) -> None:
    with running_server(trained, concurrency=1, queue=1) as server:
        with concurrent.futures.ThreadPoolExecutor(10) as threads:
            with held_decoders(server):
                futures = [threads.submit(server.predict, video) for _ in range(10)]
                while sum(future.done() for future in futures) < 8:
                    time.sleep(0.01)
                refused = [future.result() for future in futures if future.done()]
                server.wait_for_metric(WAITING, 1.0)
                assert server.metric(RUNNING) == 1
                assert server.ask("GET", "/healthz").status == 200
            answered = [future.result() for future in futures if future.result() not in refused]
        assert len(refused) == 8
        for answer in refused:
            assert_is_refused(answer, 503, "try again")
            assert answer.headers["retry-after"] == "1"
        assert [answer.status for answer in answered] == [200, 200]


@pytest.mark.fast_cases("fields0")
@pytest.mark.parametrize("fields", [{}, {"window": "0.5"}])
def test_a_decoder_that_hangs_is_ended_when_the_time_is_over(
    fields: dict[str, str], trained: TrainedModel, video: bytes
) -> None:
    with running_server(trained, time_limit=1.0) as server:
        (number,) = (worker.pid for worker in server.workers)
        server.signal_workers(signal.SIGSTOP)
        assert_is_refused(server.predict(video, **fields), 504, "within 1 s", "start and end")
        while is_running(number):
            time.sleep(0.01)
        # Another takes its place; where the machine is busy, its start may take the time of a request.
        while (answer := server.predict(video, **fields)).status != 200:
            assert_is_refused(answer, 504)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_decoder_that_crashes_costs_one_request(trained: TrainedModel, video: bytes) -> None:
    with running_server(trained) as server, concurrent.futures.ThreadPoolExecutor(1) as threads:
        server.signal_workers(signal.SIGSTOP)
        asked = threads.submit(server.predict, video)
        server.wait_for_metric(RUNNING, 1.0)
        time.sleep(0.2)  # until the request is in the pipe
        server.signal_workers(signal.SIGKILL)
        assert_is_refused(asked.result(), 422, "the decoder crashed on it", "SIGKILL")
        assert server.predict(video).status == 200
        # One that is killed while it waits costs none.
        for worker in multiprocessing.active_children():
            worker.kill()
            worker.join()
        assert server.predict(video).status == 200


def test_who_sends_too_slowly_is_let_go(trained: TrainedModel, video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptConnection, "header_seconds", 0.3)
    with running_server(trained, queue=0, time_limit=0.8) as server:
        begun = time.monotonic()
        with server.raw(b"POST /predict HTTP/1.1\r\nHost: localh") as slow_head:
            assert slow_head.recv(100) == b""
        with server.raw(b"") as silent:
            assert silent.recv(100) == b""
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        with server.raw(head) as slow_body:
            slow_body.settimeout(0.05)
            said = b""
            while not said:
                with contextlib.suppress(TimeoutError):
                    slow_body.sendall(b"1\r\nx\r\n")
                    said = slow_body.recv(4096)
        assert b" 408 " in said
        assert time.monotonic() - begun < 30
        assert server.predict(video).status == 200


def test_a_sender_that_goes_frees_its_place(trained: TrainedModel, video: bytes) -> None:
    with running_server(trained, queue=0) as server:
        server.signal_workers(signal.SIGSTOP)
        with server.raw(HEAD % len(video) + video):
            server.wait_for_metric(RUNNING, 1.0)
            assert server.predict(video).status == 503
        server.wait_for_metric(RUNNING, 0.0)
        assert server.predict(video).status == 200


def test_a_stopped_server_finishes_what_it_has_taken(trained: TrainedModel, video: bytes) -> None:
    with running_server(trained, queue=1) as server, concurrent.futures.ThreadPoolExecutor(2) as threads:
        with held_decoders(server):
            answers = [threads.submit(server.predict, video) for _ in range(2)]
            server.wait_for_metric(WAITING, 1.0)
            server.stop()
            while is_listening(server):
                time.sleep(0.01)
        assert [answer.result().status for answer in answers] == [200, 200]


def is_listening(server: RunningServer) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=5).close()
    except OSError:
        return False
    return True
