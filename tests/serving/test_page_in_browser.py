"""The page of a server in a real browser: Chromium, driven by Playwright, without a window."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from real_browser import needs_browser
from running_server import RunningServer, running_server
from small_trained_model import small_trained_model
from small_videos import ENCODINGS, encode, moving_texture

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


HOSTILE = '<img src=x onerror="document.title=1">'
LABELS = (HOSTILE, "\u202egpj.exe", "a\x1b[31m\n\tb", "</script><script>document.title=1</script>", "x" * 5000)

pytestmark = needs_browser


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    trained = small_trained_model()
    labels = LABELS + trained.label_names[len(LABELS) :]
    with running_server(dataclasses.replace(trained, label_names=labels), max_upload=500_000) as server:
        yield server


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return encode(tmp_path_factory.mktemp("video") / "clip.webm", ENCODINGS["vp8"], moving_texture())


@pytest.fixture
def page(browser: "Browser", server: RunningServer) -> Iterator["Page"]:
    """The page, opened; afterwards it must have neither complained nor asked anything of another server."""
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if is_own(request.url, server) else complaints.append(request.url))
    page.goto(server.url)
    page.wait_for_selector("body[data-ready]")
    yield page
    assert page.title() == "motion_vit: classify a video"
    page.close()
    # Chromium notes refusals, which a test asks for.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def is_own(url: str, server: RunningServer) -> bool:
    return url.startswith((f"{server.url}/", "blob:", "data:"))


def shown_labels(page: "Page") -> list[str]:
    return page.locator("#answers .label").all_inner_texts()


def test_a_chosen_video_gets_its_classes_with_bars(page: "Page", video: pathlib.Path) -> None:
    from playwright.sync_api import expect

    page.set_input_files("#file", video)
    page.wait_for_selector("#answers li")
    assert len(shown_labels(page)) == 5
    shares = page.locator("#answers progress").evaluate_all("bars => bars.map(bar => bar.value)")
    assert shares == sorted(shares, reverse=True)
    assert "clip.webm (" in page.inner_text("#status")
    page.wait_for_selector("#video:not([hidden])")
    page.fill("#top", "2")
    page.click("#again")
    expect(page.locator("#answers li")).to_have_count(2)


@pytest.mark.slow
def test_a_window_asks_for_a_timeline(page: "Page", video: pathlib.Path) -> None:
    from playwright.sync_api import expect

    page.fill("#window", "0.5")
    page.set_input_files("#file", video)
    expect(page.locator("#status")).to_contain_text("clip.webm")
    expect(page.locator("#status")).to_contain_text(" s)")
    assert page.is_hidden("#error")


@pytest.mark.slow
def test_a_dropped_file_is_sent(page: "Page", video: pathlib.Path) -> None:
    transfer = page.evaluate_handle(
        """numbers => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(numbers)], "dropped.webm"));
          return transfer;
        }""",
        list(video.read_bytes()),
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": transfer})
    assert "over" in (page.get_attribute("#drop", "class") or "")
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#answers li")
    assert "dropped.webm" in page.inner_text("#status")
    assert page.get_attribute("#drop", "class") == ""


def test_hostile_labels_and_names_are_text(page: "Page", video: pathlib.Path) -> None:
    page.fill("#top", "10")
    page.set_input_files("#file", {"name": HOSTILE, "mimeType": "video/webm", "buffer": video.read_bytes()})
    page.wait_for_selector("#answers li")
    labels = shown_labels(page)
    assert HOSTILE in labels
    assert "\\u{202e}gpj.exe" in labels
    assert "a\\u{1b}[31m\\u{a}\\u{9}b" in labels
    assert max(map(len, labels)) <= 303
    assert HOSTILE.split("/")[-1] in page.inner_text("#status")
    assert page.locator("#answers img, #status img, #answers script").count() == 0


def test_refusals_are_shown_with_their_sentence(page: "Page") -> None:
    from playwright.sync_api import expect

    page.set_input_files("#file", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"text\n" * 9})
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error") == "it is a text, not a video"
    page.set_input_files("#file", {"name": "b.mp4", "mimeType": "video/mp4", "buffer": bytes(600_000)})
    expect(page.locator("#error")).to_contain_text("more than the 500000 bytes")
    page.fill("#top", "0")
    page.set_input_files("#file", {"name": "c.mp4", "mimeType": "video/mp4", "buffer": b"text"})
    expect(page.locator("#error")).to_contain_text("top is '0'")
    assert shown_labels(page) == []


@pytest.mark.slow
def test_the_keyboard_alone_will_do(page: "Page", video: pathlib.Path) -> None:
    from playwright.sync_api import expect

    # Playwright does not wait until the browser hands over its choosers; by the answers to what follows, it does.
    page.on("filechooser", lambda chooser: None)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.evaluate("getComputedStyle(document.getElementById('drop')).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(video)
    page.wait_for_selector("#answers li")
    page.focus("#top")
    page.keyboard.press("Control+A")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.locator("#answers li")).to_have_count(1)


@pytest.mark.slow
def test_it_is_dark_where_that_is_wanted_and_fits_a_phone(page: "Page", video: pathlib.Path) -> None:
    color = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(color) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(color) == "rgb(22, 22, 22)"
    page.set_viewport_size({"width": 375, "height": 700})
    page.fill("#top", "10")
    page.set_input_files("#file", video)
    page.wait_for_selector("#answers li")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_another_page_cannot_ask_the_server(browser: "Browser", server: RunningServer, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.html"
    other.write_text("<title>other</title>", encoding="utf-8")
    page = browser.new_page()
    page.goto(other.as_uri())
    script = """async url => {
      try { return (await fetch(url + "/predict", {method: "POST", body: "x", mode: "no-cors"})).type; }
      catch (error) { return "refused"; }
    }"""
    before = server.metric('motion_vit_requests_total{path="/predict",status="403"}')
    assert page.evaluate(script, server.url) in ("opaque", "refused")
    assert server.metric('motion_vit_requests_total{path="/predict",status="403"}') == before + 1
    page.close()
