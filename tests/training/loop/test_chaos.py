import pathlib

from chaos import chaos


def test_a_run_that_is_killed_twice_ends_as_one_that_is_left_alone(
    lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """`python tests/chaos.py` is the long version."""
    fields: dict[str, object] = {"data.train": lists["train"], "data.validation": lists["validation"]}
    summary = chaos(tmp_path, fields, kills=2, seed=7)
    assert "SIGKILL after a step" in summary
    assert "SIGTERM after a step" in summary
