"""The page of an ONNX export in a real browser: Chromium runs onnxruntime-web on videos that are dropped on it."""

import functools
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from exported import ROOT
from real_browser import needs_browser
from small_videos import ENCODINGS, encode

import motion_vit
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.batches.frame_clock import EQUALLY_NEAR, FrameClock
from motion_vit.data.embedded.motion_scenes import render_clip
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.interface import Interface
from motion_vit.interop.exporting.web_page import web_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


RUNTIME, VERSION = re.findall(r'"(https://[^"]+/onnxruntime-web@([\d.]+)/dist/)"', web_page())[0]
# Of what the model was trained on: (label, frames, size) and how it is encoded. Of 20 such videos, the probabilities
# of Chromium were off by up to 0.017, because it converts colours in its own way.
VIDEOS = {
    "apart.mp4": (("apart", 40, 96), "h264 with B-frames"),
    "left.webm": (("left", 24, 64), "vp9"),
    "grow.mp4": (("grow", 9, 40), "h264 that starts late"),
}
TOLERANCE = 0.04

pytestmark = needs_browser


@pytest.fixture(scope="module")
def runtime() -> pathlib.Path:
    """The folder `dist` of the npm package, downloaded once for all runs."""
    folder = ROOT / ".cache" / f"onnxruntime-web-{VERSION}"
    if not (folder / "package" / "dist").is_dir():
        if shutil.which("npm") is None:
            pytest.skip("npm, which downloads onnxruntime-web, is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", f"onnxruntime-web@{VERSION}", "--silent"]
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
        if packed.returncode:
            pytest.skip(f"npm cannot download onnxruntime-web: {packed.stderr.strip()[-200:]}")
        with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
            archive.extractall(folder, filter="data")
    return folder / "package" / "dist"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the export, and says nothing of it."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An export of pixels to probabilities with its page."""
    folder = tmp_path_factory.mktemp("page") / "export"
    export_model(motion_vit.load("demo"), "onnx", folder, interface=Interface("uint8", "probabilities"), page=True)
    return folder


@pytest.fixture(scope="module")
def address(export: pathlib.Path) -> Iterator[str]:
    """Where a server that any folder may have serves the export."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(export)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


def serve_runtime(page: "Page", runtime: pathlib.Path, appended: bytes = b"") -> None:
    """Lets the runtime's address lead to its files here, and to some bytes behind each."""
    kinds = {"mjs": "text/javascript", "wasm": "application/wasm"}

    def answer(route: "Route") -> None:
        name = route.request.url.removeprefix(RUNTIME)
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": kinds[name.rpartition(".")[2]]}
        route.fulfill(body=(runtime / name).read_bytes() + appended, headers=headers)

    page.route(f"{RUNTIME}**", answer)


@pytest.fixture(scope="module")
def page(browser: "Browser", runtime: pathlib.Path, address: str) -> Iterator["Page"]:
    """The page, with the runtime of the network."""
    page = browser.new_page(viewport={"width": 800, "height": 900})
    serve_runtime(page, runtime)
    page.goto(address)
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    yield page
    page.close()


@pytest.mark.slow
def test_it_shows_nearly_the_probabilities_of_the_library(page: "Page", tmp_path: pathlib.Path) -> None:
    trained = motion_vit.load("demo")
    differences = {}
    for name, (scene, encoding) in VIDEOS.items():
        label, frames, size = scene
        clip = render_clip(label, 1001, frames=frames, size=size)
        video = encode(tmp_path / name, ENCODINGS[encoding], clip)
        expected = dict(trained.predict(video, top="all")[0].classes)
        page.set_input_files("#file", video)
        page.wait_for_selector(f"#status:has-text('{name}: {frames} frames, 25.00 a second')", timeout=60_000)
        page.wait_for_selector("body[data-done]", timeout=60_000)
        found = dict(zip(trained.label_names, json.loads(page.evaluate("document.body.dataset.done")), strict=True))
        differences[name] = max(abs(found[label] - expected[label]) for label in expected)
        first = page.inner_text("#classes tr:first-child td:first-child")
        assert first == max(found, key=lambda label: found[label])
        assert page.locator("#frames canvas").count() == trained.config.data.frames
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.slow
def test_a_dropped_file_that_is_no_video_is_said_to_be_none(page: "Page") -> None:
    script = """() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["no video"], "notes.mp4"));
      return transfer;
    }"""
    page.dispatch_event("#drop", "drop", {"dataTransfer": page.evaluate_handle(script)})
    page.wait_for_selector("#status:has-text('notes.mp4 is not classified: this browser cannot play it')")


def test_it_chooses_the_frames_of_the_library(browser: "Browser") -> None:
    source = re.findall(r"(const say.*?)\n// The weights of", web_page(), re.DOTALL)[0].replace("export ", "")
    page = browser.new_page()
    choose = f"(given) => {{ {source} return chooseFrames(...given); }}"
    for count, clips in ((1, 1), (3, 2), (16, 3), (75, 1), (76, 10), (301, 3)):
        for sampling in ({"sampling": "segment"}, {"stride": 3, "sampling": "dense"}):
            options = ClipOptions(frames=5, **sampling)
            given = {"frames": 5, "fps": 0, "stride": 3, **sampling}
            for clip in range(clips):
                found = page.evaluate(choose, [count, 25, given, clip, clips])
                assert found == view_ticks(count, options, clip, clips).tolist()
        times = np.arange(count) / 30
        clock = FrameClock(0, max(1, round(count / 30 * 12.5)), 12.5, times)
        by_time = ClipOptions(frames=5, stride=3, sampling="dense", fps=12.5)
        given = {"frames": 5, "fps": 12.5, "stride": 3, "sampling": "dense", "equally_near": EQUALLY_NEAR}
        for clip in range(clips):
            expected = clock.frames_at(view_ticks(clock.ticks, by_time, clip, clips)).tolist()
            assert page.evaluate(choose, [count, 30, given, clip, clips]) == expected
    page.close()


@pytest.mark.slow
def test_the_runtime_of_the_network_is_refused_if_its_bytes_are_others(
    browser: "Browser", runtime: pathlib.Path, address: str
) -> None:
    page = browser.new_page()
    serve_runtime(page, runtime, appended=b"\n")
    page.goto(address)
    page.wait_for_selector("#status:has-text('is not the file of onnxruntime-web that this page expects')")
    assert page.locator("body[data-ready]").count() == 0
    page.close()


@pytest.mark.slow
def test_without_a_network_a_copy_of_the_runtime_beside_the_page_does(
    browser: "Browser", runtime: pathlib.Path, address: str, export: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    page = browser.new_page()
    page.route("https://**/*", lambda route: route.abort())
    page.goto(address)
    status = page.locator("#status:has-text('into the folder onnxruntime-web/ beside this page')")
    status.wait_for()
    copy = export / "onnxruntime-web"
    copy.mkdir()
    for name in re.findall(r"[\w.-]+\.(?:mjs|wasm)", status.inner_text().rpartition("Without a network")[2]):
        shutil.copy(runtime / name, copy)
    page.goto(address)
    video = encode(tmp_path / "left.webm", ENCODINGS["vp9"], render_clip("left", 1001, frames=24, size=64))
    page.set_input_files("#file", video)  # perhaps before the model is there: it waits
    page.wait_for_selector("body[data-done]", timeout=60_000)
    assert page.inner_text("#classes tr:first-child td:first-child") == "left"
    shutil.rmtree(copy)
    page.close()


@pytest.mark.slow
def test_the_page_reads_from_nowhere_else(page: "Page") -> None:
    page.route("https://elsewhere.test/", lambda route: route.fulfill(headers={"Access-Control-Allow-Origin": "*"}))
    read = "fetch('https://elsewhere.test/').then(() => 'read', () => 'refused')"
    assert page.evaluate(read) == "refused"


@pytest.mark.slow
def test_a_file_can_be_chosen_with_the_keyboard(page: "Page") -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
