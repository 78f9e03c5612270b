"""Processes that decode: what is said of one that does not start."""

import pytest

from motion_vit import UserError
from motion_vit.serving.decoding_process import DecodingProcess


def test_a_process_that_ends_as_it_starts_is_told_with_what_a_script_must_do() -> None:
    process = DecodingProcess()
    process.kill()
    with pytest.raises(UserError, match=r"has ended by the signal SIGKILL as it started: .* `if __name__ == "):
        process.wait()
    process.close()
