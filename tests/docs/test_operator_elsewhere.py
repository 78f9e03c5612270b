"""The page on the operator in other networks: its programs run, one after the other, in a process of their own."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "operator_elsewhere.md"


@pytest.mark.slow
def test_the_programs_of_the_page_run(tmp_path: pathlib.Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(programs) == 6
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(PAGE.parents[1])}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(programs)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
