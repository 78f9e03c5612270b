"""The page of shifted videos names every corruption and every option of adaptation, with its default."""

import dataclasses
import pathlib
import re

from motion_vit.data.corruptions.corruption import CORRUPTIONS
from motion_vit.training.adaptation.options import AdaptationOptions

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "shifted_videos.md").read_text(encoding="utf-8")
# Of each row of a table, what its first cell names.
NAMES = {name for row in re.findall(r"^\| (`[^|]*)\|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}


def test_every_corruption_is_in_the_table() -> None:
    assert set(CORRUPTIONS) <= NAMES


def test_every_option_is_in_the_table() -> None:
    assert {field.name for field in dataclasses.fields(AdaptationOptions)} - {"method"} <= NAMES
