import pathlib

import pytest
import startup


def test_a_training_that_does_not_get_to_a_step_ends_the_benchmark_with_its_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match=r"before its first step:\nmotion-vit: there is no config file nowhere\.py"):
        startup.start("nowhere.py", tmp_path, tmp_path / "run", tmp_path / "cache")


def test_the_table_tells_cold_from_warm_starts() -> None:
    text = startup.table({"cold": [(30.0, 20.0)], "warm": [(9.0, 3.0), (7.0, 1.0), (8.0, 2.0)]})
    assert text.splitlines()[2:] == ["| cold | 1 | 30.0 (30.0) | 20.0 |", "| warm | 3 | 8.0 (7.0) | 2.0 |"]
