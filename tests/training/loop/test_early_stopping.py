"""Runs that end because validation does not get better, also when they are continued in between."""

import pathlib

import jax
import pytest
from ml_collections import ConfigDict

from motion_vit.training.evaluation.evaluate import Evaluation
from motion_vit.training.loop.early_stopping import EarlyStopping
from motion_vit.training.loop.loop import train


def through(stopping: EarlyStopping, values: list[float]) -> list[bool]:
    ended = []
    for value in values:
        stopping.add({stopping.metric: value})
        ended.append(stopping.ended)
    return ended


def test_a_run_ends_after_as_many_evaluations_without_progress_as_it_has_patience() -> None:
    assert through(EarlyStopping("loss", 2), [3, 2, 2.5, 1, 1, 4]) == [False, False, False, False, False, True]
    assert through(EarlyStopping("top1", 1), [0.1, 0.2, 0.2]) == [False, False, True]
    assert through(EarlyStopping("loss", 0), [1, 2, 3, 4]) == [False] * 4


def test_what_is_no_number_is_no_progress() -> None:
    stopping = EarlyStopping("loss", 2)
    stopping.add({"top1": 1.0})
    assert through(stopping, [float("nan")]) == [True]


@pytest.mark.parametrize("value", [1.0, None])
def test_a_continued_run_goes_on_counting(value: float | None) -> None:
    stopping = EarlyStopping("loss", 3)
    stored = stopping.add({} if value is None else {"loss": value})
    continued = EarlyStopping("loss", 3)
    continued.restore(stored)
    assert (continued.best, continued.waited) == (stopping.best, stopping.waited) or value is None
    other = EarlyStopping("top1", 3)
    other.restore(stored)
    assert other.waited == 0


@pytest.mark.parametrize("stored", [{}, {"early_stopping_metric": "loss", "early_stopping_best": "x"}])
def test_metrics_that_say_nothing_of_it_start_anew(stored: dict[str, object]) -> None:
    stopping = EarlyStopping("loss", 3)
    stopping.restore(stored)
    assert stopping.waited == 0


@pytest.mark.slow
@pytest.mark.usefixtures("light_runs")
def test_a_run_that_gets_no_better_ends_completed_and_stays_ended(
    small_config: ConfigDict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    losses = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(Evaluation, "loss", property(lambda _: next(losses)))
    small_config.early_stopping.patience = 1
    small_config.evaluation.every_epochs = 1 / 3
    first = train(small_config, tmp_path, devices=jax.devices()[:1], max_steps=1)
    assert not first.completed
    ended = train(small_config, tmp_path, devices=jax.devices()[:1])
    assert (ended.steps, ended.completed) == (2, True)
    assert "stopped early: 1 evaluation without a better loss" in capsys.readouterr().out
    again = train(small_config, tmp_path, devices=jax.devices()[:1])
    assert (again.steps, again.completed) == (2, True)
