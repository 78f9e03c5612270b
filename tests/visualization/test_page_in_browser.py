"""The page of planted maps in a real browser: Chromium, driven by Playwright, without a window."""

import pathlib
import re
import shutil
from collections.abc import Iterator

import planted_maps as planted
import pytest

from motion_vit.visualization.html_page import html_page

playwright = pytest.importorskip("playwright.sync_api", reason="the extra `dev` has playwright, which drives a browser")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found; apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(html_page(planted.clip(), planted.all_maps(), title="a.mp4", point=(25.0, 50.0)), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: "playwright.Browser", page_file: pathlib.Path) -> Iterator["playwright.Page"]:
    """The page, opened; afterwards it must have neither complained nor asked the network for anything."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(page_file.as_uri())
    page.wait_for_selector("body[data-ready]")
    yield page
    page.close()
    # The tests read the canvas often, which Chromium remarks on; the page itself never does.
    assert [text for text in complaints if "willReadFrequently" not in text] == []


def color_at(page: "playwright.Page", y: float, x: float) -> list[int]:
    """The colour of the canvas at a place of the video."""
    script = """([y, x]) => {
      const canvas = document.getElementById("frame");
      const scale = canvas.width / 90;
      return Array.from(canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data).slice(0, 3);
    }"""
    return page.evaluate(script, [y, x])


def click(page: "playwright.Page", y: float, x: float) -> None:
    box = page.locator("#frame").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x / 90 * box["width"], box["y"] + y / 60 * box["height"])


def choose(page: "playwright.Page", **choices: str) -> None:
    for name, label in choices.items():
        page.select_option(f"#{name}", label=label)


def test_the_slider_changes_the_frame(page: "playwright.Page") -> None:
    before = color_at(page, 5, 5)[0]
    page.locator("#time").fill("2")
    assert color_at(page, 5, 5)[0] == pytest.approx(before + 60, abs=6)
    assert page.inner_text("#clock") == "3 / 4, 0.40 s"
    assert "frames 3 and 4 of the clip" in page.inner_text("#caption")


def test_the_pickers_change_the_map_the_layer_and_the_channel(page: "playwright.Page") -> None:
    page.locator("#opacity").fill("100")
    page.uncheck("#arrows")
    choose(page, channel="head 1")
    red, green, blue = color_at(page, 55, 17)
    assert red > 200 > green > blue  # right and a little down
    choose(page, channel="head 2", layer="stage4/block0")
    red, green, blue = color_at(page, 55, 17)
    assert blue > 200 > red  # left and a little up
    assert "stage4/block0, head 2" in page.inner_text("#caption")
    page.locator("#time").fill("1")
    choose(page, map="Class activation")
    assert color_at(page, 25, 50) == pytest.approx([252, 253, 191], abs=3)
    choose(page, channel="down")
    assert color_at(page, 25, 50) == pytest.approx([0, 0, 4], abs=3)


def test_a_click_shows_the_affinities_of_that_patch(page: "playwright.Page") -> None:
    choose(page, channel="head 1", map="Cost volume")
    click(page, 12, 33)
    assert page.inner_text("#detail-title") == "Chosen patch: row 2, column 2"
    assert "2 right and 1 down in patches" in page.inner_text("#detail-text")
    # The bright cell of the table is where it was planted: one below and two to the right of the middle.
    bright = page.evaluate("""() => {
      const canvas = document.getElementById("detail"), pen = canvas.getContext("2d");
      const cell = canvas.width / 5, found = [];
      for (let row = 0; row < 5; row++) for (let column = 0; column < 5; column++) {
        const [red, green, blue] = pen.getImageData((column + 0.5) * cell, (row + 0.5) * cell, 1, 1).data;
        if (red > 200 && green > 200 && blue < 100) found.push([row, column]);
      }
      return found;
    }""")
    assert bright == [[2 + planted.DOWN, 2 + planted.RIGHT]]
    page.check("input[value=affinity]")
    assert "Affinity from" in page.inner_text("#detail-text")
    assert "9.0" in page.inner_text("#detail-text")


def test_the_track_of_a_point_is_that_of_the_library(page: "playwright.Page") -> None:
    script = "() => follow(content.layers[0], 1, 0, 35, 25).map(([x, y]) => [y, x])"
    track = planted.motion().track(1, 25.0, 35.0)
    assert page.evaluate(script) == [pytest.approx(point, abs=0.01) for point in track if point[0] == point[0]]


def test_everything_can_be_done_with_the_keyboard(page: "playwright.Page") -> None:
    page.focus("#frame")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#detail-title") == "Chosen patch: row 4, column 3"
    page.keyboard.press(".")
    assert page.inner_text("#clock").startswith("2 / 4")
    page.keyboard.press("h")
    page.keyboard.press("l")
    assert "Motion field, stage4/block0, head 1" in page.inner_text("#caption")
    page.keyboard.press("m")
    assert page.inner_text("#caption").startswith("Cost volume, stage4/block0, head 1")
    page.keyboard.press("Escape")
    assert page.inner_text("#detail-text") == "Click a patch of the picture."
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    playwright.expect(page.locator("#clock")).not_to_have_text(re.compile("^2"))
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play"


def test_every_map_draws_and_a_phone_need_not_scroll_sideways(page: "playwright.Page") -> None:
    page.set_viewport_size({"width": 375, "height": 700})
    for label in page.locator("#map option").all_inner_texts():
        choose(page, map=label)
        assert page.inner_text("#caption").startswith(label)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
