"""Teachers of a run: which are taken, and that a run goes on with those that it began with."""

import dataclasses
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from small_trained_model import small_trained_model

from motion_vit import UserError
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.loop.load_teachers import load_teachers
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import validate_fields


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture(scope="module")
def weights(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("weights") / "folder"
    write_weights_folder(folder, trained)
    return folder


def variables_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(load_for_inference(folder).variables), sep="/")


@pytest.mark.slow
def test_a_run_learns_from_another_one_and_goes_on_exactly(
    small_config: ConfigDict, finished_run: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(finished_run, teacher)
    small_config.seed = 3
    small_config.distillation.teachers = (str(teacher),)
    small_config.loss.classification = 0.0
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    one = jax.devices()[:1]
    train(small_config, whole, devices=one)
    assert f"learns from {teacher}: small, 6 steps trained" in capsys.readouterr().out
    losses = [line["distillation"] for line in read_json_lines(whole / METRICS_FILE) if line["split"] == "train"]
    assert losses[-1] < losses[0]
    train(small_config, halves, devices=one, max_steps=2)
    # The weights of the teacher decide, and not where they lie.
    small_config.distillation.teachers = (str(teacher.rename(tmp_path / "moved")),)
    train(small_config, halves, devices=one)
    expected = variables_of(whole)
    for name, value in variables_of(halves).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    small_config.distillation.teachers = (str(whole),)
    with pytest.raises(UserError, match=r"the run began with other teachers .*: .*moved there, .*whole here"):
        train(small_config, halves, devices=one)


def test_teachers_have_the_classes_of_the_data_in_their_order(
    trained: TrainedModel, weights: pathlib.Path, small_config: ConfigDict
) -> None:
    small_config.distillation.teachers = (str(weights),)
    small_config.data.sampling = "dense"
    mesh = meshes.data_mesh(jax.devices()[:1])
    order = (4, 0, 9, 1, 2, 3, 5, 8, 7, 6)
    (teacher,) = load_teachers(small_config, [trained.label_names[number] for number in order], mesh)
    assert teacher.classes == order
    assert "sampled otherwise: data.sampling 'segment' there and 'dense' here" in teacher.remark
    with pytest.raises(
        UserError, match=r"other classes apart \(10 there, 2 in the training data\): it does not know 'x'"
    ):
        load_teachers(small_config, ["class 1", "x"], mesh)
    with pytest.raises(UserError, match=r"it knows 'class 0' besides"):
        load_teachers(small_config, ["class 1", "class 2"], mesh)


def test_teachers_in_bfloat16_are_rounded_but_for_their_statistics(
    trained: TrainedModel, weights: pathlib.Path, small_config: ConfigDict
) -> None:
    small_config.distillation.teachers = (str(weights),)
    mesh = meshes.make_mesh(data=2, fsdp=4)
    (exact,) = load_teachers(small_config, trained.label_names, mesh)
    small_config.distillation.bfloat16 = True
    (rounded,) = load_teachers(small_config, trained.label_names, mesh)
    assert not exact.variables["params"]["hidden"]["kernel"].is_fully_replicated
    assert jnp.dtype(rounded.model.dtype) == jnp.bfloat16
    for name, kind in (("params", jnp.bfloat16), ("batch_stats", jnp.float32)):
        found, given = rounded.variables[name], exact.variables[name]
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(kind)}
        jax.tree.map(lambda a, b, k=kind: np.testing.assert_array_equal(a, b.astype(k)), found, given)
    assert rounded.fingerprint != exact.fingerprint


def test_teachers_with_evidence_are_refused(
    trained: TrainedModel, small_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    config = trained.config.copy_and_resolve_references()
    config.loss.name = "evidential"
    write_weights_folder(tmp_path / "sure", dataclasses.replace(trained, config=config))
    small_config.distillation.teachers = (str(tmp_path / "sure"),)
    with pytest.raises(UserError, match=r"sure .* was trained with evidence .* Name a teacher that was trained with"):
        load_teachers(small_config, trained.label_names, meshes.data_mesh(jax.devices()[:1]))


def test_teachers_for_other_clips_or_without_weight_are_refused(
    trained: TrainedModel, small_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    names = read_video_list(small_config.data.train).label_names
    larger = dataclasses.replace(small_trained_model(size=64), label_names=names)
    write_weights_folder(tmp_path / "larger", larger)
    small_config.distillation.teachers = (str(tmp_path / "larger"),)
    with pytest.raises(UserError, match=r"larger .* takes clips of 4 frames of 64 x 64 pixels, .* 4 frames of 32 x 32"):
        train(small_config, tmp_path / "run")
    small_config.distillation.weight = 0.0
    with pytest.raises(UserError, match=r"distillation\.weight and distillation\.feature_weight are 0"):
        validate_fields(small_config)
    small_config.distillation.teachers = ("gs://bucket/run",)
    with pytest.raises(UserError, match=r"config field distillation\.teachers: "):
        validate_fields(small_config)
