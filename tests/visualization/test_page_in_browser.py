"""The page of planted maps in a real browser: Chromium, driven by Playwright, without a window."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import planted_maps as planted
import pytest
from PIL import Image
from real_browser import needs_browser

from motion_vit.visualization.html_page import html_page
from motion_vit.visualization.visualization import Visualization

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


pytestmark = needs_browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(html_page(planted.clip(), planted.all_maps(), title="a.mp4", point=(25.0, 50.0)), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: "Browser", page_file: pathlib.Path) -> Iterator["Page"]:
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


def color_at(page: "Page", y: float, x: float) -> list[int]:
    """The colour of the canvas at a place of the video."""
    script = """([y, x]) => {
      const canvas = document.getElementById("frame");
      const scale = canvas.width / 90;
      return Array.from(canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data).slice(0, 3);
    }"""
    return page.evaluate(script, [y, x])


def click(page: "Page", y: float, x: float) -> None:
    box = page.locator("#frame").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x / 90 * box["width"], box["y"] + y / 60 * box["height"])


def choose(page: "Page", **choices: str) -> None:
    for name, label in choices.items():
        page.select_option(f"#{name}", label=label)


def test_the_slider_changes_the_frame(page: "Page") -> None:
    before = color_at(page, 5, 5)[0]
    page.locator("#time").fill("2")
    assert color_at(page, 5, 5)[0] == pytest.approx(before + 60, abs=6)
    assert page.inner_text("#clock") == "3 / 4, 0.40 s"
    assert "frames 3 and 4 of the clip" in page.inner_text("#caption")


@pytest.mark.slow
def test_the_pickers_change_the_map_the_layer_and_the_channel(page: "Page") -> None:
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


def test_a_click_shows_the_affinities_of_that_patch(page: "Page") -> None:
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


def test_the_track_of_a_point_is_that_of_the_library(page: "Page") -> None:
    script = "() => follow(content.layers[0], 1, 0, 35, 25).map(([x, y]) => [y, x])"
    track = planted.motion().track(1, 25.0, 35.0)
    assert page.evaluate(script) == [pytest.approx(point, abs=0.01) for point in track if point[0] == point[0]]


@pytest.mark.slow
def test_everything_can_be_done_with_the_keyboard(page: "Page") -> None:
    from playwright.sync_api import expect

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
    expect(page.locator("#clock")).not_to_have_text(re.compile("^2"))
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play"


@pytest.mark.slow
def test_every_map_draws_and_a_phone_need_not_scroll_sideways(page: "Page") -> None:
    page.set_viewport_size({"width": 375, "height": 700})
    for label in page.locator("#map option").all_inner_texts():
        choose(page, map=label)
        assert page.inner_text("#caption").startswith(label)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def hash_of(page: "Page") -> str:
    return page.evaluate("decodeURIComponent(location.hash)")


@pytest.mark.slow
def test_the_address_follows_what_is_chosen_and_the_back_button_undoes_it(page: "Page") -> None:
    click(page, 12, 33)
    assert hash_of(page) == "#Motion field/stage3/block0/mean of heads/1/2,2"
    choose(page, map="Cost volume", channel="head 2")
    page.locator("#time").fill("2")
    assert hash_of(page) == "#Cost volume/stage3/block0/head 2/3/2,2,1"
    click(page, 45, 58)
    assert hash_of(page) == "#Cost volume/stage3/block0/head 2/3/5,5"
    page.go_back()
    assert hash_of(page) == "#Cost volume/stage3/block0/head 2/3/2,2,1"
    assert page.inner_text("#detail-title") == "Chosen patch: row 2, column 2"
    assert page.inner_text("#clock").startswith("3 / 4")
    page.go_back()
    page.go_back()
    assert page.inner_text("#caption").startswith("Motion field, stage3/block0, mean of heads")
    page.go_back()
    assert (hash_of(page), page.inner_text("#detail-title")) == ("", "Chosen patch: row 3, column 4")
    page.go_forward()
    assert page.inner_text("#detail-title") == "Chosen patch: row 2, column 2"


def test_an_address_restores_its_view(browser: "Browser", page_file: pathlib.Path) -> None:
    first, again = browser.new_page(), browser.new_page()
    first.goto(page_file.as_uri())
    first.wait_for_selector("body[data-ready]")
    choose(first, channel="head 1", layer="stage4/block0")
    click(first, 12, 33)
    first.keyboard.press("Escape")
    click(first, 25, 45)
    first.focus("#frame")
    for key in (".", ".", "ArrowRight", ","):
        first.keyboard.press(key)
    again.goto(first.url)
    again.wait_for_selector("body[data-ready]")
    for part in ("caption", "clock", "detail-title", "detail-text"):
        assert again.inner_text(f"#{part}") == first.inner_text(f"#{part}")
    shown = [one.evaluate("document.getElementById('frame').toDataURL()") for one in (first, again)]
    assert shown[0] == shown[1]
    assert again.evaluate("[document.getElementById('channel').value, chosen.pointFrame]") == ["1", 2]
    first.close()
    again.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    ["#", "#%", "#%ff/%", "#no such map/x/y/99/99,99", "#Motion field/?/?/-3/0,-1", "#a/b/c/d/e/f", "#" + 999 * "/"],
)
def test_an_address_that_leads_nowhere_shows_what_there_is(page: "Page", address: str) -> None:
    page.evaluate("address => { location.hash = address; }", address)
    page.wait_for_function("() => document.getElementById('caption').textContent.startsWith('Motion field, stage3')")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#caption").startswith("Motion field, stage3/block0")


def contrasts(page: "Page") -> dict[str, float]:
    """The contrast of every visible text with what is behind it, as WCAG 2 defines it."""
    return page.evaluate("""() => {
      const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
      const light = ([red, green, blue]) => [red, green, blue].map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
      const behind = (node) => {
        const color = numbers(getComputedStyle(node).backgroundColor);
        return color.length === 4 && color[3] === 0 ? behind(node.parentElement) : color;
      };
      const found = {};
      for (const node of document.querySelectorAll("body *")) {
        const hasText = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!hasText || !node.checkVisibility() || node.matches("script, option")) continue;
        const [one, other] = [light(numbers(getComputedStyle(node).color)), light(behind(node))];
        const name = `${node.tagName} ${node.id} ${node.className}`;
        found[name] = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      }
      return found;
    }""")


@pytest.mark.slow
@pytest.mark.parametrize("system", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(page: "Page", system: str) -> None:
    page.emulate_media(color_scheme=system)
    page.click("#open-overview")
    for pressed in (system == "dark", system != "dark"):
        assert page.get_attribute("#theme", "aria-pressed") == str(pressed).lower()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground != "rgb(255, 255, 255)") == pressed
        found = contrasts(page)
        assert len(found) > 10
        assert {name: contrast for name, contrast in found.items() if contrast < 4.5} == {}
        # What is written on canvases has the colour of the text.
        ink = page.evaluate("""() => {
          const canvas = document.getElementById("legend");
          const bytes = canvas.getContext("2d").getImageData(150, 0, canvas.width - 150, canvas.height).data;
          return bytes.filter((_, place) => place % 4 === 0 && bytes[place + 3] === 255);
        }""")
        levels = list(ink.values()) if isinstance(ink, dict) else ink
        assert (max(levels) > 200) if pressed else (min(levels) < 60)
        page.keyboard.press("d")


@pytest.mark.slow
def test_the_picture_is_saved_with_its_name(page: "Page", tmp_path: pathlib.Path) -> None:
    choose(page, channel="head 1")
    with page.expect_download() as waiting:
        page.click("#save")
    assert waiting.value.suggested_filename == "a.mp4-Motion-field-stage3-block0-head-1-frames-1-and-2-of-the-clip.png"
    waiting.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        width, height = page.evaluate(
            "[document.getElementById('frame').width, document.getElementById('frame').height]"
        )
        assert saved.width == width + 32
        assert saved.height > height + 100  # the name and the scale
        frame = np.asarray(saved.convert("RGB"))[16 : 16 + height, 16 : 16 + width]
    red, green, blue = frame[int(55 * width / 90), int(17 * width / 90)]
    assert red > green > blue


@pytest.mark.slow
def test_the_overview_shows_every_layer_and_head_and_opens_one(page: "Page") -> None:
    page.focus("#frame")
    page.keyboard.press("o")
    names = page.locator("#tiles .tile").all_inner_texts()
    assert names == 2 * ["mean of heads", "head 1", "head 2"]
    assert page.locator("#tiles h3").all_inner_texts() == ["stage3/block0", "stage4/block0"]
    assert page.locator(".tile[aria-current=true]").count() == 1
    script = """number => {
      const canvas = document.querySelectorAll("#tiles canvas")[number];
      return Array.from(canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data);
    }"""
    assert page.evaluate(script, 1)[0] > page.evaluate(script, 1)[2]  # to the right: red
    assert page.evaluate(script, 2)[0] < page.evaluate(script, 2)[2]  # to the left: blue
    page.locator("#tiles .tile").nth(5).focus()
    page.keyboard.press("Enter")
    assert page.locator("#overview").is_hidden()
    assert page.inner_text("#caption").startswith("Motion field, stage4/block0, head 2")
    assert page.evaluate("document.activeElement.id") == "frame"
    for label in page.locator("#map option").all_inner_texts():
        choose(page, map=label)
        page.keyboard.press("o")
        assert page.locator("#tiles .tile").count() >= 1
        page.keyboard.press("o")


def test_a_notebook_shows_the_page_shut_off_and_hostile_labels_do_nothing(
    browser: "Browser", tmp_path: pathlib.Path
) -> None:
    hostile = """</iframe><script>parent.document.title = "taken"</script>"'&quot;<img src=x onerror=alert(1)>"""
    scalar = dataclasses.replace(planted.scalar(), channels=(hostile, "down"))
    seen = Visualization(
        f"{hostile}.mp4",
        planted.clip(),
        (planted.motion(), scalar),
        (),
        (25.0, 50.0),
        ((hostile, 0.5),),
        hostile,
        (hostile,),
    )
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!DOCTYPE html><title>mine</title><body>{seen._repr_html_()}", encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 1000})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(outer.as_uri())
    inner = page.frames[1]
    inner.wait_for_selector("body[data-ready]")
    assert inner.inner_text("#title") == f"{hostile}.mp4"
    inner.select_option("#map", label="Class activation")
    inner.click("#frame", position={"x": 40, "y": 40})
    inner.click("#open-overview")
    assert inner.locator(".tile").first.inner_text() == hostile
    with page.expect_download():
        inner.click("#save")
    assert page.title() == "mine"
    assert len(page.frames) == 2
    assert page.locator("body > *").count() == 1
    assert inner.evaluate("() => { try { return parent.document.title; } catch { return 'shut off'; } }") == "shut off"
    assert page.url == outer.as_uri()
    assert [text for text in complaints if "willReadFrequently" not in text] == []
    page.close()


def test_a_page_without_any_map_shows_its_notes(browser: "Browser", tmp_path: pathlib.Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(html_page(planted.clip(), [], title="a.mp4", notes=["There is no map."]), encoding="utf-8")
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#notes") == "There is no map."
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") in ("light", "dark")
    assert page.locator("main").is_hidden()
    assert complaints == []
    page.close()
