"""The programs on the documentation pages of models run as they stand there."""

import pathlib
import re

import pytest

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "models"


@pytest.mark.parametrize("page", ["emim", "m2a", "motion_prompts", "resnet", "timesformer"])
def test_the_programs_of_a_page_run(page):
    programs = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    assert programs
    for program in programs:
        exec(compile(program, f"{page}.md", "exec"), {})
