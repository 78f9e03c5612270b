import dataclasses
import json
import math
import pathlib
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints import run_checkpoints as checkpointing
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints, load_for_inference
from motion_vit.training.checkpoints.run_description import describe
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.state import TrainState


@pytest.fixture
def small_config(small_config: ConfigDict) -> ConfigDict:
    """The recipe with averages."""
    small_config.ema = ((r".*", 0.9),)
    return small_config


def program_of(config: ConfigDict, devices: int = 1, classes: int = 10, **axes: int) -> TrainingProgram:
    mesh = meshes.make_mesh(**axes, devices=jax.devices()[:devices])
    return build_program(config, mesh, num_classes=classes, total_steps=6, steps_per_epoch=3)


@pytest.fixture
def state(small_config: ConfigDict) -> TrainState:
    return program_of(small_config).initial_state()


def at_step(state: TrainState, step: int) -> TrainState:
    params = jax.tree.map(lambda leaf: leaf + step, state.params)
    return dataclasses.replace(state, step=jnp.asarray(step, jnp.int32), params=params)


def description(config: ConfigDict) -> dict[str, object]:
    return describe(config, read_video_list(config.data.train))


def raw(state: TrainState) -> TrainState:
    """The state with the numbers of its random key, for comparisons."""
    return dataclasses.replace(state, key=jax.random.key_data(state.key))


def test_a_checkpoint_gives_back_all_that_was_saved_on_any_mesh(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    saved = at_step(state, 5)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(saved, {"next": 40}, description(small_config))
    program = program_of(small_config, devices=8, fsdp=4)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        restored = checkpoints.restore(program.abstract_state())
    assert restored.data_state == {"next": 40}
    assert len(restored.description["label_names"]) == 10
    chex.assert_trees_all_equal(raw(restored.state), raw(saved))
    jax.tree.map(
        lambda leaf, sharding: leaf.sharding.is_equivalent_to(sharding, leaf.ndim) or pytest.fail(str(leaf.sharding)),
        restored.state,
        program.state_sharding,
    )


@pytest.mark.parametrize(("rows", "compiles"), [(32, False), (2**18, True)])
def test_only_large_arrays_are_cut_for_the_devices_that_hold_them_to_write_a_part_each(
    rows: int, compiles: bool, state: TrainState, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    sharding = meshes.replicated(meshes.data_mesh())
    whole = np.arange(rows * 8, dtype=np.float32).reshape(rows, 8)
    state = dataclasses.replace(state, params={"hidden": jax.device_put(whole, sharding)}, ema={})
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        with jax.log_compiles():
            checkpoints.save(state, {}, {})
        restored = checkpoints.restore(state)
    assert ("Compiling jit(slice)" in caplog.text) == compiles
    np.testing.assert_array_equal(restored.state.params["hidden"], whole)


def test_the_latest_and_the_best_checkpoints_are_kept(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step, top1 in ((1, 0.2), (2, 0.9), (3, 0.4), (4, 0.3)):
            checkpoints.save(at_step(state, step), {}, description(small_config), {"top1": top1})
        checkpoints.save(at_step(state, 5), {}, description(small_config))
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"2", "4", "5"}
    mesh = meshes.data_mesh(jax.devices()[:1])
    assert load_for_inference(tmp_path, which="last", mesh=mesh).step == 5
    assert load_for_inference(tmp_path, which="best", mesh=mesh).step == 2


def test_a_checkpoint_whose_accuracy_is_no_number_is_not_the_best(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step, top1 in ((1, 0.2), (2, math.nan), (3, math.inf)):
            checkpoints.save(at_step(state, step), {}, description(small_config), {"top1": top1})
    assert load_for_inference(tmp_path, which="best", mesh=meshes.data_mesh(jax.devices()[:1])).step == 1


def test_inference_takes_model_labels_and_recipe_from_the_checkpoint(finished_run: pathlib.Path) -> None:
    trained = load_for_inference(finished_run)
    assert trained.step == 6
    assert trained.label_names == tuple(sorted(trained.label_names))
    assert trained.model.num_classes == len(trained.label_names) == 10
    assert trained.config.data.frames == trained.model.frames == 4
    assert set(trained.variables) == {"params", "batch_stats"}


def test_inference_takes_averages_where_they_are_asked_for_and_kept(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path / "with", keep=1) as checkpoints:
        checkpoints.save(at_step(state, 1), {}, description(small_config))
    averages = load_for_inference(tmp_path / "with", ema=True).variables["params"]
    chex.assert_trees_all_equal(averages, state.ema)
    parameters = load_for_inference(tmp_path / "with").variables["params"]
    chex.assert_trees_all_equal(parameters, at_step(state, 1).params)

    small_config.ema = ()
    with Checkpoints(tmp_path / "without", keep=1) as checkpoints:
        checkpoints.save(dataclasses.replace(at_step(state, 1), ema={}), {}, description(small_config))
    with pytest.raises(UserError, match="keeps no averages of its parameters"):
        load_for_inference(tmp_path / "without", ema=True)


def test_a_checkpoint_of_another_model_is_refused_with_the_differences(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(at_step(state, 1), {}, description(small_config))
        with pytest.raises(UserError, match="is of another model") as raised:
            checkpoints.restore(program_of(small_config, classes=7).abstract_state())
        assert "params/head/kernel is (128, 10) in the checkpoint, but (128, 7) in the model" in str(raised.value)
        deeper = program_of(small_config).abstract_state()
        other = {**deeper.params, "extra": deeper.params["head"]}
        del other["hidden"]
        with pytest.raises(UserError, match="is of another model") as raised:
            checkpoints.restore(dataclasses.replace(deeper, params=other))
    assert "the checkpoint lacks params/extra/kernel (128, 10)" in str(raised.value)
    assert "the model has no params/hidden/kernel (192, 128)" in str(raised.value)


def test_a_state_may_be_given_up_while_it_is_written(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    """On CPU an array on the host can be a view of the array on the device, which the next step overwrites."""
    mesh = meshes.data_mesh(jax.devices()[:1])
    large = {f"layer{index}": jnp.full((512, 1024), float(index)) for index in range(16)}
    state = TrainState(jnp.int32(1), large, {}, {}, {}, state.key)
    state = jax.device_put(state, meshes.replicated(mesh))
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
    next_step = jax.jit(
        lambda state: dataclasses.replace(state, params=jax.tree.map(lambda leaf: leaf + 1, state.params)),
        donate_argnums=0,
    )
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(state, {}, description(small_config))
        for _ in range(5):
            state = next_step(state)
        restored = checkpoints.restore(template)
    for index in range(16):
        np.testing.assert_array_equal(restored.state.params[f"layer{index}"], float(index))


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(UserError, match=r"a checkpoint cannot be written to /proc/run/checkpoints: .*There is none"):
        Checkpoints(pathlib.Path("/proc/run"), keep=1)


def test_what_a_killed_run_leaves_behind_is_no_checkpoint_and_is_removed(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "checkpoints"
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(at_step(state, 3), {}, description(small_config))
    # Killed while it wrote one checkpoint and deleted another.
    shutil.copytree(folder / "3", folder / "4.orbax-checkpoint-tmp")
    (folder / "4.orbax-checkpoint-tmp" / "_CHECKPOINT_METADATA").unlink()
    shutil.copytree(folder / "3" / "variables", folder / "deleted" / "2" / "variables")
    assert load_for_inference(tmp_path).step == 3
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest_step() == 3
        checkpoints.save(at_step(state, 4), {}, description(small_config))
    assert {path.name for path in folder.iterdir()} == {"3", "4"}


def test_a_damaged_checkpoint_is_named_with_the_one_before(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (3, 4):
            checkpoints.save(at_step(state, step), {}, description(small_config))
    damaged = tmp_path / "checkpoints" / "4"
    (damaged / "data" / "metadata").write_bytes(b"")
    message = r"4 cannot be read: Expecting value.*remove this folder to continue from step 3"
    with pytest.raises(UserError, match=message), Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.restore(program_of(small_config).abstract_state())
    shutil.rmtree(damaged)
    assert load_for_inference(tmp_path).step == 3


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ("variables/_METADATA", "it has no file variables/_METADATA"),
        ("optimizer/_METADATA", "it has no file optimizer/_METADATA"),
        ("data", 'a part of it is missing: Item "data" was not found in the checkpoint'),
    ],
)
def test_a_checkpoint_that_has_lost_a_file_is_named_with_the_one_before(
    lost: str, reason: str, small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path
) -> None:
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (3, 4):
            checkpoints.save(at_step(state, step), {}, description(small_config))
    folder = tmp_path / "checkpoints" / "4"
    (folder / lost).rename(tmp_path / "lost")
    message = f"4 cannot be read: {reason}. If it is damaged, remove this folder to continue from step 3"
    with pytest.raises(UserError, match=message), Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.restore(program_of(small_config).abstract_state())


def test_a_run_of_an_older_version_can_be_used_but_not_trained_on(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older, Checkpoints(tmp_path, keep=1) as checkpoints:
        older.setattr(checkpointing, "_optimizer_item", lambda state: {"opt_state": state.opt_state})
        checkpoints.save(at_step(state, 2), {}, description(small_config))
    assert load_for_inference(tmp_path).step == 2
    with (
        pytest.raises(UserError, match="was started by an older version of motion_vit"),
        Checkpoints(tmp_path, keep=1) as checkpoints,
    ):
        checkpoints.restore(program_of(small_config).abstract_state())


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
