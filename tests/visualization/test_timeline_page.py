"""The page of a timeline: what is in it, and what happens in Chromium when somebody clicks or presses keys."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pytest
from real_browser import needs_browser
from small_trained_model import small_trained_model
from small_videos import moving_texture

from motion_vit import UserError
from motion_vit.data.video.encoding import write_video
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.segments import Segment, SegmentRules
from motion_vit.training.inference.timeline import VideoTimeline
from motion_vit.visualization.timeline_page import timeline_page, write_timeline_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


SMALLEST = {"width": 16, "depth": 2, "heads": 2, "patch_size": 16, "window": 3, "placement": "lg"}
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "javascript:alert(1)' onclick='document.title=`owned`",
    "@@SCRIPTS@@",
    "a\u202eb\x1b[2J",
    "&amp;<b>",
    '"}]}',
)
SEGMENTS = (
    Segment(0.0, 1.0, HOSTILE[0], 0.75),
    Segment(1.0, 2.0, HOSTILE[1], 0.5),
    Segment(2.5, 3.0, HOSTILE[0], 0.9),
)


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Flax's own modules rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    """A model with cost volumes, and labels that would run as scripts."""
    made = small_trained_model(name="videomae_tiny", size=64, **SMALLEST)
    return dataclasses.replace(made, label_names=(*HOSTILE, *made.label_names[len(HOSTILE) :]))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("hostile") / "<b>a&b.mp4"
    write_video(path, moving_texture(36, 64, 80), fps=12)
    return str(path)


@pytest.fixture(scope="module")
def timeline(trained: TrainedModel, video: str) -> VideoTimeline:
    """Three seconds in nine windows, with planted segments."""
    with jax.numpy_dtype_promotion("standard"):
        found = trained.timeline(video, window=1, hop=0.25, rules=SegmentRules(0.0, 0.0), keep=True)
    return dataclasses.replace(found, segments=SEGMENTS)


@pytest.fixture(scope="module")
def page_text(trained: TrainedModel, timeline: VideoTimeline) -> str:
    with jax.numpy_dtype_promotion("standard"):
        return timeline_page(trained, timeline, most=5)


def content_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="content" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_has_segments_curves_and_a_bounded_number_of_moments(page_text: str, timeline: VideoTimeline) -> None:
    content = content_of(page_text)
    assert [(one["start"], one["end"]) for one in content["segments"]] == [(0.0, 1.0), (1.0, 2.0), (2.5, 3.0)]
    assert content["segments"][0]["color"] == content["segments"][2]["color"] != content["segments"][1]["color"]
    assert content["times"] == [round((one.start + one.end) / 2, 3) for one in timeline.found]
    assert len(content["curves"]) == 7
    assert timeline.found[3].probabilities is not None
    assert content["curves"][0]["values"][3] == round(float(timeline.found[3].probabilities[0]), 3)
    # Every segment has a moment near its middle.
    middles = [(one["start"] + one["end"]) / 2 for one in content["moments"]]
    assert len(middles) == 5
    for segment in SEGMENTS:
        assert min(abs(middle - (segment.start + segment.end) / 2) for middle in middles) <= 0.26
    assert "Pictures are of 5 moments of 9 windows." in content["notes"]
    assert all(one["motion"].startswith("data:image/jpeg") and len(one["frames"]) == 4 for one in content["moments"])
    assert len(page_text) < 5 * 100_000


def test_what_labels_say_is_shown_and_never_run(page_text: str) -> None:
    assert page_text.count("<script") == 2
    assert "onerror" not in page_text.partition('<script id="content"')[0]
    labels = {one["label"] for one in content_of(page_text)["curves"]}
    assert {HOSTILE[0], "a\\u202eb\\x1b[2J"} <= labels


def test_a_model_without_motion_fields_has_frames_alone_and_says_so(video: str) -> None:
    plain = small_trained_model()
    found = plain.timeline(video, window=1, hop=1, keep=True)
    content = content_of(timeline_page(plain, found))
    assert [(one["motion"], len(one["frames"])) for one in content["moments"]] == [(None, 4)] * 3
    assert any("There is no motion field, and frames are shown alone" in note for note in content["notes"])
    assert content["wheel"] == ""


def test_windows_without_finite_logits_interrupt_the_curves(trained: TrainedModel, timeline: VideoTimeline) -> None:
    first, *others = timeline.found
    damaged = dataclasses.replace(timeline, found=(dataclasses.replace(first, probabilities=None), *others))
    content = content_of(timeline_page(trained, damaged, most=1))
    assert all(curve["values"][0] is None and curve["values"][1] is not None for curve in content["curves"])


def test_what_cannot_be_written_is_told(trained: TrainedModel, timeline: VideoTimeline, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="made without its windows; make it with keep=True"):
        timeline_page(trained, dataclasses.replace(timeline, found=()))
    with pytest.raises(UserError, match="is the video itself"):
        write_timeline_page(trained, timeline, pathlib.Path(timeline.path))
    write_timeline_page(trained, timeline, tmp_path / "a.html", most=1)
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.fixture
def page(browser: "Browser", page_text: str, tmp_path: pathlib.Path) -> Iterator["Page"]:
    """The page, opened; afterwards it must have neither complained nor asked the network for anything."""
    path = tmp_path / "timeline.html"
    path.write_text(page_text, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    yield page
    assert page.title() == "<b>a&b.mp4"
    page.close()
    assert complaints == []


@needs_browser
def test_a_click_on_a_segment_changes_text_and_pictures(page: "Page") -> None:
    assert page.inner_text("#when").startswith("0.50 s: </script>")
    before = page.get_attribute("#motion", "src")
    page.click("[data-segment='1']")
    assert page.inner_text("#when") == f"1.50 s: {HOSTILE[1]}, 50.0 % (1.00 s to 2.00 s)"
    assert page.inner_text("#caption") == "Pictures of the window 1.00 s to 2.00 s."
    assert page.get_attribute("#motion", "src") != before
    assert page.locator("#frames img").count() == 4
    assert page.get_attribute("[data-segment='1']", "aria-pressed") == "true"
    assert page.get_attribute("[data-segment='0']", "aria-pressed") == "false"
    assert page.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


@needs_browser
def test_a_click_on_the_curves_chooses_that_second(page: "Page") -> None:
    box = page.locator("#curve").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 30)
    assert page.inner_text("#when") == "2.25 s: no label"
    assert float(page.input_value("#second")) == pytest.approx(2.25, abs=0.01)


@pytest.mark.slow
@needs_browser
def test_the_keyboard_reaches_every_segment_and_every_window(page: "Page") -> None:
    page.focus("[data-segment='1']")
    page.keyboard.press("Enter")
    assert page.inner_text("#when").startswith("1.50 s")
    page.focus("#second")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#when").startswith("1.75 s")
    page.keyboard.press("End")
    assert page.inner_text("#when") == f"3.00 s: {HOSTILE[0]}, 90.0 % (2.50 s to 3.00 s)"
    assert page.get_attribute("#second", "aria-valuetext") == page.inner_text("#when")


@pytest.mark.slow
@needs_browser
def test_it_is_dark_where_that_is_preferred_and_fits_a_phone(page: "Page") -> None:
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert np.mean([int(number) for number in re.findall(r"\d+", light)]) > 200
    assert np.mean([int(number) for number in re.findall(r"\d+", dark)]) < 50
    page.set_viewport_size({"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
