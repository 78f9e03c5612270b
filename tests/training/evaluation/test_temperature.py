"""Temperatures: fitted to what is true, carried by the weights, and refused where nothing can be fitted."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_trained_model import small_trained_model

import motion_vit
from motion_vit import UserError
from motion_vit.training.evaluation.calibrate import calibrate_checkpoint
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.evaluation.temperature import fit_temperature, with_temperature


@pytest.mark.fast_cases("0.3", "4.0")
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((20_000, 5))
    labels = np.argmax(logits / temperature + rng.gumbel(size=logits.shape), axis=1)
    assert fit_temperature(logits.astype(np.float32), labels) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 2, 0]])
def test_videos_that_are_all_right_or_worse_than_chance_fit_no_temperature(labels: list[int]) -> None:
    with pytest.raises(UserError, match="no temperature fits these videos"):
        fit_temperature(np.eye(3, dtype=np.float32), np.array(labels))


def test_the_weights_carry_the_temperature_and_nothing_else_changes() -> None:
    trained = small_trained_model()
    clips = np.random.default_rng(0).standard_normal((2, 4, 32, 32, 3), np.float32)
    changed = with_temperature(trained, 2.5)
    apply = jax.jit(trained.model.apply)
    colder, plain = (np.asarray(apply(each.variables, clips)) for each in (changed, trained))
    np.testing.assert_allclose(colder, plain / 2.5, atol=1e-7)
    assert jax.tree.structure(changed.variables) == jax.tree.structure(trained.variables)


def test_a_model_whose_logits_do_not_follow_its_classifier_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = small_trained_model()
    apply = type(trained.model).apply
    monkeypatch.setattr(type(trained.model), "apply", lambda *given, **named: jnp.tanh(apply(*given, **named)))
    with pytest.raises(UserError, match="not proportional to the weights of its classifier"):
        with_temperature(trained, 0.01)


def test_a_calibrated_folder_predicts_with_the_temperature(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    result = calibrate_checkpoint(finished_run, lists["validation"], tmp_path / "calibrated")
    assert result.loss <= result.evaluation.loss
    assert json.loads((tmp_path / "calibrated" / "calibration.json").read_text()) == result.to_dict()
    before = motion_vit.load(finished_run)
    after = motion_vit.load(tmp_path / "calibrated")
    head = "params", "head", "kernel"
    old, new = before.variables, after.variables
    for name in head:
        old, new = old[name], new[name]
    np.testing.assert_allclose(new, old / result.temperature, rtol=1e-5)
    again = evaluate_checkpoint(after, lists["validation"])
    assert again.top1 == result.evaluation.top1
    assert again.loss == pytest.approx(result.loss, rel=1e-4)


def test_a_folder_with_something_in_it_is_refused_before_anything_is_evaluated(
    finished_run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        calibrate_checkpoint(finished_run, "missing.csv", tmp_path)
