import subprocess
import sys

import pytest

from motion_vit.training.parallel import last_words

# The module alone: importing the library takes seconds.
PROGRAM = """
import os, runpy, signal
with runpy.run_path({module!r})["LastWords"]() as words:
    words.change("first")
    words.change("the last checkpoint is that of step 7")
    {end}
"""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the last checkpoint is that of step 7\n"),
        ("os.abort()", "the last checkpoint is that of step 7\n"),
        ("pass", ""),
    ],
    ids=["killed", "aborted", "left"],
)
def test_the_last_line_is_said_for_a_process_that_cannot(end: str, said: str) -> None:
    program = [sys.executable, "-c", PROGRAM.format(module=last_words.__file__, end=end)]
    assert subprocess.run(program, capture_output=True, text=True, timeout=60).stderr == said
