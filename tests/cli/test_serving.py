"""`motion-vit serve`: the process, its signals and its options."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import pytest
from small_trained_model import small_trained_model
from small_videos import ENCODINGS, encode, moving_texture

from motion_vit import UserError, cli
from motion_vit.serving.classifier import Classifier
from motion_vit.serving.server import PredictionServer
from motion_vit.serving.settings import ServerSettings


def health(url: str) -> int:
    try:
        return urllib.request.urlopen(f"{url}/healthz", timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_the_process_says_when_it_is_ready_and_ends_in_order(tmp_path: pathlib.Path) -> None:
    video = encode(tmp_path / "clip.avi", ENCODINGS["mpeg4 in avi"], moving_texture())
    temporary = tempfile.mkdtemp(dir="/tmp")  # shorter than tmp_path: sockets lie in it
    environment = os.environ | {"TMPDIR": temporary}
    command = [sys.executable, "-m", "motion_vit", "serve", "--checkpoint", "demo", "--port", "0", "--concurrency", "1"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.fullmatch(r"serving demo at (http://127\.0\.0\.1:\d+); compiling\n", first)
            assert found is not None, first
            # Until the model is compiled, it says so.
            assert health(found[1]) == 503
            ready = process.stdout.readline()
            assert ready == "ready\n", process.communicate(timeout=60)
            assert health(found[1]) == 200
            request = urllib.request.Request(f"{found[1]}/predict?top=3", video.read_bytes(), method="POST")
            answer = json.load(urllib.request.urlopen(request, timeout=60))
            process.send_signal(signal.SIGTERM)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, rest, errors) == (0, "stopped\n", "")
    os.rmdir(temporary)  # fails if anything is left
    assert answer[0]["video"] == "upload"
    assert len(answer[0]["predictions"]) == 3


@pytest.mark.slow
def test_a_path_of_temporary_files_that_is_too_long_for_sockets_is_named(tmp_path: pathlib.Path) -> None:
    longest = tmp_path / ("a" * 100)
    longest.mkdir()
    program = """
from motion_vit import UserError
from motion_vit.serving.decoding_process import DecodingProcess
try:
    DecodingProcess()
except UserError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TMPDIR": str(longest)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Temporary files lie in {longest}; if that path is long, set TMPDIR to a shorter one" in ended.stdout


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "python_multipart", "prometheus_client"])
def test_a_missing_extra_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = [name for name in sys.modules if name.startswith("motion_vit.serving.")]
    # An older name of python_multipart, which its package brings as well.
    absent = {package, "multipart"}
    for name in [*imported, *(name for name in sys.modules if name.split(".")[0] in absent)]:
        monkeypatch.delitem(sys.modules, name)
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    assert cli.main(["serve", "--checkpoint", "demo"]) == 2
    message = capsys.readouterr().err
    assert f"serve needs the package {package}" in message
    assert "pip install 'motion_vit[serve]'" in message


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--max-upload", "many", "a size such as 100MB"),
        ("--max-upload", "0", "a size such as 100MB"),
        ("--max-upload", "9999GB", "a size such as 100MB"),
        ("--time-limit", "0", "0.1"),
        ("--time-limit", "nan", "0.1"),
        ("--concurrency", "0", "from 1"),
        ("--queue", "-1", "from 0"),
        ("--port", "65536", "65535"),
    ],
)
def test_numbers_out_of_range_are_told(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["serve", "--checkpoint", "demo", f"{option}={value}"])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::g"])
def test_an_address_that_cannot_be_listened_at_is_told(host: str) -> None:
    with pytest.raises(UserError, match=r"the server cannot listen at .* Choose another --port"):
        PredictionServer(Classifier(small_trained_model()), ServerSettings(host=host, port=0))
