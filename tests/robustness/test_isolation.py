"""Hostile files open no socket and lead to no other file.

Python's audit events do not see what FFmpeg does in C. Therefore the kernel ends the reading process when anything in
it opens a socket, and tells when anything opens the files that hostile ones refer to.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fuzz import child_environment, good_folder
from good_inputs import VIDEOS
from hostile_inputs import KINDS, write_input
from hostile_videos import GOOD_CLIP, PLAYLISTS
from watched_files import watched
from without_sockets import supported

HERE = pathlib.Path(__file__).resolve().parent
FORBID = "import without_sockets; without_sockets.forbid_sockets()"  # before anything starts a thread
ENDINGS = ("mp4", "mkv", "ts", "m3u8", "txt")
pytestmark = pytest.mark.skipif(not supported(), reason="the system call is known for Linux on x86-64 and ARM64")


@pytest.fixture(scope="module")
def good() -> Iterator[pathlib.Path]:
    """The good inputs that hostile ones are made from."""
    with good_folder() as folder:
        yield folder


@pytest.fixture
def elsewhere(good: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with videos that only hostile files refer to."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for ending in ("ts", "mp4"):
        (folder / f"clip.{ending}").write_bytes((good / VIDEOS / f"clip.{ending}").read_bytes())
    return folder


def run(program: str, folder: pathlib.Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Runs a program of Python whose temporary files lie in a folder."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    variables = child_environment() | {"TMPDIR": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def write_leading_videos(folder: pathlib.Path, elsewhere: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a list of a good video and of every text that leads to another file, under every ending."""
    (folder / GOOD_CLIP).write_bytes((good / VIDEOS / "clip.mp4").read_bytes())
    names = [GOOD_CLIP]
    for number, text in enumerate(PLAYLISTS):
        for ending in ENDINGS:
            other = elsewhere / "clip.ts" if number % 2 else pathlib.Path("..") / elsewhere.name / "clip.ts"
            names.append(f"{number}.{ending}")
            (folder / names[-1]).write_text(text.replace("{other}", str(other)))
    # A track whose pictures lie in another file, which its entry names.
    movie = (good / VIDEOS / "clip.mp4").read_bytes()
    names.append("referring.mp4")
    assert b"url \0\0\0\1" in movie
    (folder / names[-1]).write_bytes(movie.replace(b"url \0\0\0\1", b"url \0\0\0\0"))
    path = folder / "list.csv"
    path.write_text("path,label\n" + "".join(f"{name},class 0\n" for name in names))
    return path


@pytest.mark.slow
def test_hostile_files_open_no_socket_and_no_other_file(
    good: pathlib.Path, elsewhere: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "videos").mkdir()
    inputs = [("videos of a list", write_leading_videos(tmp_path / "videos", elsewhere, good))]
    for number, kind in enumerate(KINDS):
        (tmp_path / str(number)).mkdir()
        inputs.append((kind, write_input(kind, 0, tmp_path / str(number), good)))
    (tmp_path / "inputs.json").write_text(json.dumps([(kind, str(path)) for kind, path in inputs]))
    with watched(elsewhere) as opened:
        ended = run(
            f"{FORBID}; import isolated_reader; isolated_reader.main()", tmp_path, good, tmp_path / "inputs.json"
        )
        assert opened() == set()
    assert ended.returncode == 0, ended.stderr[-2000:]
    said = json.loads(ended.stdout)
    assert [answer for answer in said["outcomes"] if answer[1] not in ("taken", "clear")] == []
    assert "is not followed" in said["outcomes"][0][2]
    roots = [tmp_path, good, HERE.parents[1], *map(pathlib.Path, (sys.prefix, sys.base_prefix, "/proc", "/sys"))]
    if cache := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        roots.append(pathlib.Path(cache))
    allowed = tuple(str(root.resolve()) + os.sep for root in roots)
    assert [path for path in said["opened"] if not path.startswith(allowed)] == []


@pytest.mark.parametrize(
    "opens",
    ["import socket; socket.socket()", "import av; av.open('http://127.0.0.1:9/clip.mp4')"],
    ids=["Python", "FFmpeg"],
)
def test_a_socket_would_be_seen(opens: str, tmp_path: pathlib.Path) -> None:
    ended = run(f"{FORBID}; {opens}", tmp_path)
    assert ended.returncode == -signal.SIGSYS, ended.stderr


@pytest.mark.slow
def test_a_file_that_ffmpeg_opens_would_be_seen(elsewhere: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = tmp_path / "list.mp4"
    text.write_text(f"ffconcat version 1.0\nfile '{elsewhere}/clip.ts'\n")
    follow = f"import av; next(av.open({str(text)!r}, options={{'safe': '0'}}).decode(video=0))"
    with watched(elsewhere) as opened:
        ended = run(follow, tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert opened() == {"clip.ts"}
