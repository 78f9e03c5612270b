import pathlib
import re

import jax
import pytest
from small_comparison import SPLITS, reported, reported_runs, row

from motion_vit import UserError
from motion_vit.cli import main
from motion_vit.comparison.compare import compare
from motion_vit.comparison.report import PLOT_FILE, TABLE_FILE
from motion_vit.comparison.run_result import RESULT_FILE


def result_file(workdir: pathlib.Path, name: str = "small", seed: int = 0) -> pathlib.Path:
    return workdir / "runs" / name / f"seed{seed}" / RESULT_FILE


@pytest.mark.slow
def test_a_comparison_trains_every_row_with_every_seed_and_goes_on_where_it_was(
    workdir: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = result_file(workdir).stat().st_mtime_ns
    assert compare({"small": row(), "smaller": row(dtype="float32")}, workdir, seeds=2, splits=SPLITS)
    assert result_file(workdir).stat().st_mtime_ns == written
    results = reported(workdir)
    assert reported_runs(workdir) == [("small", 0), ("small", 1), ("smaller", 0), ("smaller", 1)]
    assert {result["videos"] for result in results} == {11}
    assert {result["steps"] for result in results} == {2}
    # The same network by another name, from the same seeds.
    names = ("top1", "frozen", "shuffled", "parameters")
    first, second, *same = [[result[name] for name in names] for result in results]
    assert [first, second] == same
    table = (workdir / TABLE_FILE).read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert table in printed
    # Seed by seed, so that half a comparison is one of all rows.
    assert re.findall(r"^\[(\d)/4\] (\w+), seed (\d)", printed, re.MULTILINE) == [
        ("2", "smaller", "0"),
        ("3", "small", "1"),
        ("4", "smaller", "1"),
    ]
    assert (workdir / PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    log = (workdir / "runs" / "smaller" / "seed1" / "log.txt").read_text(encoding="utf-8")
    assert "smaller, seed 1 starts: small, 16 videos" in log
    # Some of the rows and seeds alone: nothing to do, and the others keep their place in the table.
    assert compare({"smaller": row(dtype="float32")}, workdir, splits=SPLITS, order=["small", "smaller"])
    assert (workdir / TABLE_FILE).read_text(encoding="utf-8") == table


def test_a_finished_run_of_another_recipe_is_refused_before_anything_is_trained(workdir: pathlib.Path) -> None:
    changed = row()
    changed.epochs = 3.0
    rows = {"new": changed, "small": changed}
    with pytest.raises(UserError, match=r"(?s)row 'small', seed 0 \(.*another recipe:\n  epochs: 1.0 there, 3.0 here"):
        compare(rows, workdir, splits=SPLITS)
    assert not (workdir / "runs" / "new").exists()


def test_the_command_shows_the_table_of_what_is_finished(
    workdir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.py"
    path.write_text(
        "from small_comparison import row\n\ndef get_configs(): return {'new': row(dtype='float32'), 'small': row()}\n",
        encoding="utf-8",
    )
    prepared = workdir / "prepared"
    command = ["compare", "--config", str(path), "--workdir", str(workdir), "--rows", "small"]
    command += [f"--config.data.train={prepared}", f"--config.data.validation={prepared}"]
    assert main(command) == 0
    assert capsys.readouterr().out == (workdir / TABLE_FILE).read_text(encoding="utf-8")
    assert main([*command, "--config.epochs=3"]) == 2
    assert "epochs: 1.0 there, 3.0 here" in capsys.readouterr().err


def test_a_finished_run_is_measured_again_where_evaluation_has_changed(workdir: pathlib.Path) -> None:
    changed = row()
    changed.evaluation.clips = 2
    # Another place for the same videos changes nothing.
    changed.data.train = changed.data.validation = str(workdir / "prepared")
    assert compare({"small": changed}, workdir)
    (result,) = reported(workdir)
    assert isinstance(result["conditions"], dict)
    assert (result["conditions"]["clips"], result["steps"]) == (2, 2)


def test_a_finished_run_of_other_training_videos_is_refused(workdir: pathlib.Path) -> None:
    changed = row()
    changed.data.train = f"{workdir / 'prepared'}:validation"
    changed.data.validation = str(workdir / "prepared")
    with pytest.raises(UserError, match=r"(?s)1 of 1 run failed:\n  row 'small', seed 0 .*has changed since the run"):
        compare({"small": changed}, workdir)


@pytest.mark.slow
def test_a_row_that_fails_is_named_and_the_others_have_their_turn(workdir: pathlib.Path) -> None:
    lost = row()
    lost.initial_weights = str(workdir / "nowhere")
    with pytest.raises(UserError, match=r"(?s)2 of 4 runs failed:\n  row 'lost', seed 0 \(.*nowhere.*row 'lost', seed"):
        compare({"lost": lost, "small": row()}, workdir, seeds=2, splits=SPLITS)
    assert reported_runs(workdir) == [("small", 0), ("small", 1)]


@pytest.mark.slow
def test_a_row_that_the_videos_are_too_few_for_is_told_before_anything_is_trained(tmp_path: pathlib.Path) -> None:
    large = row()
    large.batch_size = 1000
    with pytest.raises(UserError, match=r"row 'large': batch_size is 1000, but .* has only 16 videos"):
        compare({"small": row(), "large": large}, tmp_path, splits=SPLITS, swept=("batch_size",))
    assert not (tmp_path / "runs").exists()


def test_rows_need_videos_to_be_measured_on(workdir: pathlib.Path) -> None:
    config = row()
    config.data.train = str(workdir / "prepared")
    with pytest.raises(UserError, match=r"data.validation is '', but a comparison measures on held-out videos"):
        compare({"small": config}, workdir)


def test_processes_that_would_share_an_accelerator_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(UserError, match=r"2 jobs were asked for, but several processes cannot share the memory"):
        compare({"small": row()}, tmp_path, jobs=2)
    assert not list(tmp_path.iterdir())
