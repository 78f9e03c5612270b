"""Probes of runs that were pretrained without labels: features are those of their encoders."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from pretraining_recipe import filling_recipe, pretraining_recipe

from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.checkpoints.run_description import describe
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.probing.features import classifier_input
from motion_vit.training.probing.pretrained_encoder import with_new_classifier
from motion_vit.training.probing.probe import probe_checkpoint
from motion_vit.training.step.objective_registry import trace_network
from motion_vit.training.step.program import build_program


def pretrained(config: ConfigDict, value: float) -> PretrainedRun:
    """A run whose every variable is that number."""
    traced = trace_network(config, num_classes=3)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, value, leaf.dtype), dict(traced.shapes))
    return PretrainedRun(traced.model, variables, ("a", "b", "c"), config, step=7)


@pytest.mark.fast_cases("pretraining_recipe")
@pytest.mark.parametrize("recipe", [pretraining_recipe, filling_recipe])
def test_the_encoder_is_the_pretrained_one_and_what_follows_it_is_new(recipe: object) -> None:
    config = recipe()
    found = with_new_classifier(pretrained(config, 0.25), meshes.data_mesh(jax.devices()[:1]))
    taken, new = set(), set()
    for path, leaf in traverse_util.flatten_dict(found.variables, sep="/").items():
        (taken if np.all(np.asarray(leaf) == 0.25) else new).add(path.split("/")[1])
    assert "head" in new
    assert not taken & new
    assert len(taken) >= 2
    features = jax.eval_shape(
        lambda clips: classifier_input(found.model, found.variables, clips),
        jax.ShapeDtypeStruct((2, *found.model.clip_shape), jnp.float32),
    )
    assert features.shape[0] == 2


def test_a_probe_takes_a_checkpoint_of_pretraining(lists: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    config = pretraining_recipe()
    source = read_video_list(lists["train"])
    mesh = meshes.make_mesh(devices=jax.devices()[:1])
    program = build_program(config, mesh, clips_of_class=source.clips_of_class, total_steps=1, steps_per_epoch=1)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(program.initial_state(), {}, describe(config, source))
    found = probe_checkpoint(tmp_path, lists["train"], validation=lists["validation"], batch_size=8)
    assert (found.videos, found.known, found.width) == (11, 24, 16)


@pytest.mark.slow
def test_a_probe_takes_the_workdir_of_a_pretraining_run(lists: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    config = pretraining_recipe()
    config.data.train = str(lists["train"])
    config.epochs = 0.5
    config.log.writers = ()
    train(config, tmp_path, devices=jax.devices()[:1])
    found = probe_checkpoint(tmp_path, lists["train"], validation=lists["validation"], batch_size=8)
    assert (found.videos, found.known, found.width) == (11, 24, 16)
