import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from motion_vit import UserError, create_model
from motion_vit.data.video_list import read_video_list
from motion_vit.training import mesh as meshes
from motion_vit.training.checkpointing import Checkpoints, describe, load_for_inference
from motion_vit.training.config_validation import build_model
from motion_vit.training.train_state import TrainState, abstract_state, initial_state_on

SHAPE = (4, 32, 32, 3)
OPTIMIZER = optax.adam(1e-3)


@pytest.fixture
def state(tiny_config: ConfigDict) -> TrainState:
    mesh = meshes.data_mesh(jax.devices()[:1])
    return initial_state_on(mesh, build_model(tiny_config, 10), OPTIMIZER, jax.random.key(0), SHAPE)


def at_step(state: TrainState, step: int) -> TrainState:
    params = jax.tree.map(lambda leaf: leaf + step, state.params)
    return TrainState(jnp.asarray(step, jnp.int32), params, state.batch_stats, state.opt_state)


def description(config: ConfigDict) -> dict[str, object]:
    return describe(config, read_video_list(config.data.train))


def test_a_checkpoint_gives_back_what_was_saved_on_any_number_of_devices(
    tiny_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    saved = at_step(state, 5)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(saved, {"next": 40}, description(tiny_config))
    mesh = meshes.data_mesh()
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        template = abstract_state(mesh, build_model(tiny_config, 10), OPTIMIZER, SHAPE)
        restored = checkpoints.restore_latest(template)
    assert restored.data_state == {"next": 40}
    assert len(restored.description["label_names"]) == 10
    jax.tree.map(np.testing.assert_array_equal, restored.state, saved)
    assert all(leaf.sharding.device_set == set(jax.devices()) for leaf in jax.tree.leaves(restored.state))


def test_the_latest_and_the_best_checkpoints_are_kept(
    tiny_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step, top1 in ((1, 0.2), (2, 0.9), (3, 0.4), (4, 0.3)):
            checkpoints.save(at_step(state, step), {}, description(tiny_config), {"top1": top1})
        checkpoints.save(at_step(state, 5), {}, description(tiny_config))
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"2", "4", "5"}
    mesh = meshes.data_mesh(jax.devices()[:1])
    assert load_for_inference(tmp_path, which="last", mesh=mesh).step == 5
    assert load_for_inference(tmp_path, which="best", mesh=mesh).step == 2


def test_inference_takes_model_labels_and_recipe_from_the_checkpoint(finished_run: pathlib.Path) -> None:
    trained = load_for_inference(finished_run)
    assert trained.step == 6
    assert trained.label_names == tuple(sorted(trained.label_names))
    assert trained.model.num_classes == len(trained.label_names) == 10
    assert trained.config.model.options.widths == [8, 8, 16, 16]
    assert set(trained.variables) == {"params", "batch_stats"}


@pytest.mark.parametrize(
    ("name", "classes", "difference"),
    [
        ("uniformer_tiny", 10, "the model has no params/stage3/block0/attention/rpb (2, 3, 3)"),
        ("uniformer_emim_tiny", 7, "params/head/kernel is (16, 10) in the checkpoint, but (16, 7) in the model"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_with_the_differences(
    tiny_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path, name: str, classes: int, difference: str
) -> None:
    other = create_model(name, **(tiny_config.model.options.to_dict() | {"num_classes": classes}))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(at_step(state, 1), {}, description(tiny_config))
        with pytest.raises(UserError, match="is of another model") as raised:
            checkpoints.restore_latest(abstract_state(meshes.data_mesh(), other, OPTIMIZER, SHAPE))
    assert difference in str(raised.value)


def test_a_state_may_be_given_up_while_it_is_written(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    """On CPU an array on the host can be a view of the array on the device, which the next step overwrites."""
    mesh = meshes.data_mesh(jax.devices()[:1])
    large = {f"layer{index}": jnp.full((512, 1024), float(index)) for index in range(16)}
    state = jax.device_put(TrainState(jnp.int32(1), large, {}, {}), meshes.replicated(mesh))
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
    next_step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(state, {}, description(tiny_config))
        for _ in range(5):
            state = next_step(state)
        restored = checkpoints.restore_latest(template)
    for index in range(16):
        np.testing.assert_array_equal(restored.state.params[f"layer{index}"], float(index))


def test_a_folder_without_checkpoints_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"there is no checkpoint in .*Give the --workdir"):
        load_for_inference(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="has not saved one yet"):
        load_for_inference(tmp_path)


def test_a_checkpoint_describes_itself_in_json(tiny_config: ConfigDict) -> None:
    text = json.dumps(description(tiny_config))
    assert json.loads(text)["config"]["model"]["name"] == "uniformer_emim_tiny"
    assert json.loads(text)["videos"] == 24
