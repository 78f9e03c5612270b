import json
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.evaluation import evaluate as evaluation
from motion_vit.training.logs.progress import Progress
from motion_vit.training.logs.writers import Writers, read_json_lines
from motion_vit.training.loop import loop, step_cache
from motion_vit.training.loop.loop import TrainingResult, train
from motion_vit.training.loop.step_cache import StepCache
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.train_step import LogitsFunction

pytestmark = pytest.mark.usefixtures("light_runs")


def run(config: ConfigDict, folder: pathlib.Path, max_steps: int | None = None) -> TrainingResult:
    return train(config, folder, devices=jax.devices()[:1], max_steps=max_steps)


def variables_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(load_for_inference(folder).variables), sep="/")


def test_a_run_leaves_recipe_logs_curves_and_checkpoints(finished_run: pathlib.Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    assert names == {".lock", "recipe.json", "metrics.jsonl", "tensorboard", "curves.png", "checkpoints"}
    assert json.loads((finished_run / "recipe.json").read_text())["optimizer"]["weight_decay"] == 0.05
    records = read_json_lines(finished_run / "metrics.jsonl")
    assert [record["step"] for record in records if record["split"] == "train"] == [2, 4, 6]
    assert [record["step"] for record in records if record["split"] == "validation"] == [3, 6]
    expected = {"loss", "top1", "grad_norm", "learning_rate", "clips_per_second", "waiting_for_data", "undecodable"}
    assert expected <= records[0].keys()


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    small_config: ConfigDict, finished_run: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = run(small_config, tmp_path, max_steps=2)
    assert (half.steps, half.completed) == (2, False)
    whole = run(small_config, tmp_path)
    assert (whole.steps, whole.completed) == (6, True)
    assert "continues after step 2" in capsys.readouterr().out
    expected = variables_of(finished_run)
    for name, value in variables_of(tmp_path).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_run_that_continues_with_a_kept_step_ends_as_one_that_traced_it(
    small_config: ConfigDict, finished_run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = StepCache(tmp_path / "steps")

    def run_on(max_steps: int | None) -> None:
        train(small_config, tmp_path / "run", devices=jax.devices()[:1], max_steps=max_steps, steps=steps)

    run_on(1)
    run_on(1)  # by now, JAX has loaded all of itself that a checkpoint and an export need
    monkeypatch.setattr(step_cache, "_exported", lambda program: pytest.fail("the step is traced"))
    run_on(None)
    expected = variables_of(finished_run)
    for name, value in variables_of(tmp_path / "run").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_finished_run_is_not_trained_on(
    small_config: ConfigDict, finished_run: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(small_config, finished_run)
    assert (result.steps, result.completed) == (6, True)
    assert result.top1 is not None
    assert "loss" not in capsys.readouterr().out


def test_a_workdir_of_another_recipe_is_refused_with_what_differs(
    small_config: ConfigDict, finished_run: pathlib.Path
) -> None:
    small_config.optimizer.learning_rate = 0.5
    small_config.log.every_steps = 7
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.001 there, 0\.5 here") as raised:
        run(small_config, finished_run)
    assert "log.every_steps" not in str(raised.value)


def test_a_run_refuses_a_list_that_has_changed(
    small_config: ConfigDict, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    copy = lists["train"].with_name("shrinking.csv")
    copy.write_text(lists["train"].read_text())
    small_config.data.train = str(copy)
    run(small_config, tmp_path, max_steps=1)
    copy.write_text("\n".join(copy.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(UserError, match="has changed since the run was started: its fingerprint was"):
        run(small_config, tmp_path)


def test_an_infinite_loss_stops_the_run_and_keeps_the_last_good_checkpoint(
    small_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    small_config.optimizer.learning_rate = 1000.0
    small_config.optimizer.weight_decay = 1e6  # each step multiplies the weights by a thousand million
    small_config.optimizer.clip_norm = 0.0
    small_config.checkpoint.every_steps = 1
    small_config.data.validation = ""
    with pytest.raises(UserError, match=r"the loss is .*(nan|inf).* at step \d.*last good checkpoint is that of step"):
        run(small_config, tmp_path)
    assert all(np.isfinite(value).all() for value in variables_of(tmp_path).values())


def test_a_video_that_cannot_be_decoded_is_named_and_does_not_stop_training(
    small_config: ConfigDict,
    list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, broken = list_with_a_broken_video
    small_config.data.train = str(source)
    small_config.data.max_undecodable = 0.1
    result = run(small_config, tmp_path)
    assert result.completed
    assert result.undecodable == (str(broken),)
    assert capsys.readouterr().out.count(str(broken)) == 1
    assert read_json_lines(tmp_path / "metrics.jsonl")[-2]["undecodable"] == 1


def test_more_undecodable_videos_than_allowed_stop_the_run(
    small_config: ConfigDict, list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    source, broken = list_with_a_broken_video
    small_config.data.train = str(source)
    with pytest.raises(UserError, match=r"1 of the 24 videos .* more than data\.max_undecodable, 0\.01") as stopped:
        run(small_config, tmp_path)
    assert str(broken) in str(stopped.value)


def test_a_run_on_prepared_data_equals_the_run_on_its_list(
    small_config: ConfigDict, lists: dict[str, pathlib.Path], finished_run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    prepared = tmp_path / "prepared"
    prepare_dataset(read_dataset("list", lists["train"].parent, {}), prepared, workers=1, progress=False)
    small_config.data.train = str(prepared)
    small_config.data.validation = f"{prepared}:validation"
    result = run(small_config, tmp_path / "run")
    expected = variables_of(finished_run)
    for name, value in variables_of(tmp_path / "run").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    records = [record for record in read_json_lines(finished_run / "metrics.jsonl") if record["split"] == "validation"]
    assert result.top1 == records[-1]["top1"]


def test_a_run_goes_on_where_its_data_lies_now(
    small_config: ConfigDict, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    run(small_config, tmp_path, max_steps=1)
    moved = lists["train"].with_name("moved.csv")
    moved.write_text(lists["train"].read_text())
    small_config.data.train = str(moved)
    assert run(small_config, tmp_path, max_steps=1).steps == 2


def test_devices_that_run_out_of_memory_are_answered_with_what_helps(
    small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes.\nBufferAssignment ...")

    monkeypatch.setattr(TrainingProgram, "to_devices", refuse)
    with pytest.raises(UserError, match=r"memory of the devices does not suffice.*12 bytes.*a smaller batch_size"):
        run(small_config, tmp_path)


def test_a_stopped_run_leaves_the_evaluation_that_is_due_out(
    small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_config.log.every_steps = 100
    advance = Progress.advance
    monkeypatch.setattr(
        Progress, "advance", lambda self: (advance(self), self._done == 3 and signal.raise_signal(signal.SIGTERM))
    )
    result = run(small_config, tmp_path)
    assert (result.steps, result.top1) == (3, None)
    assert load_for_inference(tmp_path).step == 3


def test_a_signal_in_an_evaluation_ends_it_and_the_run_saves(
    small_config: ConfigDict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def preempted(*arguments: object, **options: object) -> Iterator[object]:
        for number, batch in enumerate(evaluation_batches(*arguments, **options)):
            if number == 1:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    monkeypatch.setattr(evaluation, "evaluation_batches", preempted)
    result = run(small_config, tmp_path)
    assert (result.steps, result.top1) == (3, None)
    output = capsys.readouterr().out.splitlines()
    assert output[-2:] == [
        "step 3/6  validation left out, to save and stop",
        "stopped after step 3; saved. The same command continues.",
    ]
    assert load_for_inference(tmp_path).step == 3


@pytest.mark.slow
def test_a_signal_in_the_last_evaluation_lets_it_end(
    small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = loop.evaluate

    def preempted(*arguments: object, **options: object) -> evaluation.Evaluation:
        signal.raise_signal(signal.SIGTERM)
        return evaluate(*arguments, **options)

    small_config.evaluation.every_epochs = 2
    monkeypatch.setattr(loop, "evaluate", preempted)
    result = run(small_config, tmp_path)
    assert result.completed
    assert result.top1 is not None


def test_a_run_says_how_many_validation_videos_have_logits_that_are_not_finite(
    small_config: ConfigDict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate = loop.evaluate

    def spoiled(
        logits_of: LogitsFunction, variables: dict, *arguments: object, **options: object
    ) -> evaluation.Evaluation:
        return evaluate(logits_of, jax.tree.map(lambda leaf: leaf * np.nan, variables), *arguments, **options)

    small_config.evaluation.every_epochs = 2
    monkeypatch.setattr(loop, "evaluate", spoiled)
    assert run(small_config, tmp_path).top1 == 0
    assert "11 of 11 videos have NaN or infinite logits and count as wrong: " in capsys.readouterr().out


def test_ctrl_c_saves_and_says_how_to_continue(
    small_config: ConfigDict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Writers, "write", lambda *_: signal.raise_signal(signal.SIGINT))
    result = run(small_config, tmp_path)
    assert (result.steps, result.completed) == (2, False)
    assert "stopped after step 2; saved. The same command continues." in capsys.readouterr().out
    assert load_for_inference(tmp_path).step == 2
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_batch_larger_than_the_list_is_refused(small_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    small_config.batch_size = 32
    with pytest.raises(UserError, match=r"batch_size is 32, but .* has only 24 videos"):
        run(small_config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_averages_that_the_run_does_not_keep_cannot_be_evaluated(
    small_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    small_config.evaluation.ema = True
    with pytest.raises(UserError, match="but the run keeps no averages: config field ema is empty"):
        run(small_config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("own_traces")
def test_the_model_is_built_once_and_traced_once_before_the_first_step(
    small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for its shapes, costs and initial weights; then in the compiled step, and in the evaluation."""
    monkeypatch.setattr(loop, "build_program", build_program)
    calls: list[bool] = []

    def count(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "__call__" and context.module.path == ():
            calls.append(kwargs.get("train", False))
        return call(*args, **kwargs)

    with nn.intercept_methods(count):
        run(small_config, tmp_path, max_steps=2)
        assert calls == [False, True]
        run(small_config, tmp_path)
    assert calls == [False, True, False, True, False]


def test_metrics_stay_on_the_devices_until_a_line_is_due(
    small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    device_get = jax.device_get

    def counting(tree: Any) -> Any:
        if isinstance(tree, list):  # the metrics of steps, and not the number of one
            fetched.append(len(tree))
        return device_get(tree)

    monkeypatch.setattr(jax, "device_get", counting)
    small_config.data.validation = ""
    small_config.log.every_steps = 3
    run(small_config, tmp_path)
    # The first step, whose time is told, then the rest of each epoch at once; nothing is left in between.
    assert [count for count in fetched if count] == [1, 2, 3]


def test_what_was_trained_is_saved_where_the_data_cannot_be_read_any_more(
    small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = TrainingBatches.__next__
    left = [3]

    def fail(batches: TrainingBatches) -> dict[str, np.ndarray]:
        left[0] -= 1
        if left[0] < 0:
            raise UserError("a process that reads videos has ended")
        return read(batches)

    monkeypatch.setattr(TrainingBatches, "__next__", fail)
    small_config.data.validation = ""
    with pytest.raises(UserError, match="a process that reads videos has ended"):
        run(small_config, tmp_path)
    assert load_for_inference(tmp_path).step == 3


def test_more_epochs_are_refused_with_the_way_to_train_on(small_config: ConfigDict, finished_run: pathlib.Path) -> None:
    small_config.epochs = 3.0
    with pytest.raises(UserError, match=r"epochs: 2\.0 there, 3\.0 here(.|\n)*--config\.initial_weights=") as refused:
        run(small_config, finished_run)
    assert str(finished_run) in str(refused.value)
