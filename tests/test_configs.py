"""Every recipe that the repository ships can be built and trained, as far as shapes tell."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from motion_vit.training import mesh as meshes
from motion_vit.training.clip_augmentation import clip_augmentation
from motion_vit.training.config import load_config
from motion_vit.training.config_validation import build_model, validate
from motion_vit.training.normalization import normalization
from motion_vit.training.optimizer import learning_rate_schedule, make_optimizer
from motion_vit.training.step import make_train_step
from motion_vit.training.train_state import initial_state

RECIPES = sorted((pathlib.Path(__file__).resolve().parents[1] / "configs").glob("*.py"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_makes_a_training_step(path: pathlib.Path) -> None:
    config = load_config(str(path))
    validate(config)
    model = build_model(config, 10)
    schedule = learning_rate_schedule(config, steps=100, steps_per_epoch=10)
    optimizer = make_optimizer(config, schedule)
    shape = (config.data.frames, config.data.size, config.data.size, 3)
    step = make_train_step(
        model,
        optimizer,
        schedule,
        normalization(config),
        config.label_smoothing,
        meshes.data_mesh(jax.devices()[:1]),
        clip_augmentation(config),
    )
    clips = config.batch_size * config.augmentation.repeats
    batch = {
        "clip": jax.ShapeDtypeStruct((clips, *shape), jnp.uint8),
        "label": jax.ShapeDtypeStruct((clips,), jnp.int32),
        "weight": jax.ShapeDtypeStruct((clips,), jnp.float32),
    }
    with jax.numpy_dtype_promotion("standard"):
        state = jax.eval_shape(lambda key: initial_state(model, optimizer, key, shape), jax.random.key(0))
        after, metrics = jax.eval_shape(step, state, batch, jax.random.key(0))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert metrics["loss"].shape == ()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_how_it_is_run_and_what_to_expect(path: pathlib.Path) -> None:
    header = path.read_text(encoding="utf-8").split('"""')[1]
    assert "motion-vit" in header
    for heading in ("Command", "Expected time:", "Expected accuracy:"):
        assert heading in header
