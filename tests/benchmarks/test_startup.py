import os
import pathlib
import sys
import time

import pytest
import startup


def test_a_training_that_does_not_get_to_a_step_ends_the_benchmark_with_its_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match=r"before its first step:\nmotion-vit: there is no config file nowhere\.py"):
        startup.start("nowhere.py", tmp_path, tmp_path / "run", tmp_path / "cache")


def test_the_table_tells_cold_from_warm_starts() -> None:
    warm = [{"all": seconds, "trace": seconds / 2} for seconds in (9.0, 7.0, 8.0)]
    text = startup.table({"cold": [{"all": 30.0, "trace": 4.0}], "warm": warm})
    assert text.splitlines() == [
        "| s | cold, 1 start | warm, 3 starts |",
        "|---|---:|---:|",
        "| all | 30.0 | 8.0 (7.0 to 9.0) |",
        "| trace | 4.0 | 4.0 (3.5 to 4.5) |",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_processor_seconds_are_those_of_the_process() -> None:
    assert startup.processor_seconds(os.getpid()) == pytest.approx(time.process_time(), rel=0.2, abs=0.5)
