"""The programs on the documentation pages of models, and the first one that people read, run as they stand there."""

import pathlib
import re

import pytest

from motion_vit.data.embedded.dataset import render_dataset

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGES = DOCS / "models"
WITH_PROGRAMS = sorted({path.stem for path in PAGES.glob("*.md")} - {"index", "which"})


@pytest.mark.fast_cases("motion_prompts")
@pytest.mark.parametrize("page", WITH_PROGRAMS)
def test_the_programs_of_a_page_run(page):
    programs = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    assert programs
    for program in programs:
        exec(compile(program, f"{page}.md", "exec"), {})


@pytest.mark.slow
def test_the_quickstart_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    render_dataset("build/videos", splits={"train": 10, "validation": 10}, workers=1, progress=False)
    programs = re.findall(r"```python\n(.*?)```", (DOCS / "quickstart.md").read_text(), re.DOTALL)
    exec(compile("".join(programs), "quickstart.md", "exec"), {})
