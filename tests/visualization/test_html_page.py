"""The page as text; `test_page_in_browser` opens it."""

import dataclasses
import fnmatch
import importlib.resources
import json
import pathlib
import re
import tomllib

import numpy as np
import planted_maps as planted

from motion_vit.visualization.html_page import html_page

ROOT = pathlib.Path(__file__).resolve().parents[2]


def content_of(page: str) -> dict:
    found = re.search(r'<script id="content" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_the_page_asks_for_nothing_from_outside() -> None:
    page = html_page(planted.clip(), planted.all_maps(), title="a.mp4")
    assert re.findall(r"https?://|@import|fetch\(|XMLHttpRequest", page) == []
    assert not re.search(r"<(?:link|iframe|img|script[^>]* src)", page)
    assert "default-src 'none'" in page


def test_names_cannot_become_markup() -> None:
    name = "</script><script>alert(1)</script>.mp4"
    page = html_page(planted.clip(), [planted.scalar()], title=name)
    assert "<script>alert" not in page
    assert content_of(page)["title"] == name
    page = html_page(planted.clip(), [planted.scalar()], title="@@CONTENT@@ @@SCRIPTS@@")
    assert "<title>@@CONTENT@@ @@SCRIPTS@@</title>" in page


def test_attention_over_time_of_single_patches_is_left_out_where_it_is_too_large() -> None:
    table = planted.frame_attention()
    large = dataclasses.replace(table, values=np.repeat(table.values, 5000, axis=1), layer="blocks/block0")
    content = content_of(html_page(planted.clip(), [table, large], title="a.mp4", largest=60_000))
    assert [layer["name"] for layer in content["layers"]] == [table.layer]
    assert any("the attention over time of blocks/block0" in note for note in content["notes"])


def test_maps_are_listed_with_their_layers() -> None:
    content = content_of(html_page(planted.clip(), planted.all_maps(), title="a.mp4"))
    layers = {one["name"]: [content["layers"][number]["name"] for number in one["layers"]] for one in content["maps"]}
    assert layers["Motion field"] == layers["Cost volume"] == ["stage3/block0", "stage4/block0"]
    assert layers["Class activation"] == ["norm_output"]
    assert set(layers) >= {"Attention of a patch", "Attention of frames", "Slope and shift"}


def test_what_would_make_the_page_too_large_is_left_out_and_named() -> None:
    whole = html_page(planted.clip(), planted.all_maps(), title="a.mp4")
    small = html_page(planted.clip(), planted.all_maps(), title="a.mp4", largest=len(whole) // 3)
    content = content_of(small)
    assert len(small) < len(whole)
    assert "Attention of a patch" not in [one["name"] for one in content["maps"]]
    assert any("the attention of single patches of stage3/block1" in note for note in content["notes"])
    assert content_of(whole)["notes"] == []


def test_the_files_of_the_page_are_part_of_the_package() -> None:
    files = [file.name for file in (importlib.resources.files("motion_vit.visualization") / "page").iterdir()]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (pattern,) = declared["tool"]["setuptools"]["package-data"]["motion_vit.visualization.page"]
    assert '"motion_vit.visualization.page"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    assert {"page.html", "style.css", "viewer.js"} <= set(files)
    assert all(fnmatch.fnmatch(name, pattern) for name in files)
