import dataclasses
import json
import math
import os
import pathlib
import random
import shutil
from collections.abc import Callable

import chex
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints import run_checkpoints as checkpointing
from motion_vit.training.checkpoints.checksums import CHECKSUMS_FILE, damaged_files, write_checksums
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints, load_for_inference
from motion_vit.training.checkpoints.run_description import describe
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.state import TrainState

# Orbax closes its event loop when an array cannot be read, and TensorStore may still be reading others, whose answers
# come too late. Python tells of such exceptions, which nothing can catch, at any time after that.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s)Exception ignored in.*(Event loop is closed|orbax.checkpoint):pytest.PytestUnraisableExceptionWarning"
)


def with_averages(config: ConfigDict) -> ConfigDict:
    config.ema = ((r".*", 0.9),)
    return config


@pytest.fixture
def small_config(small_config: ConfigDict) -> ConfigDict:
    """The recipe with averages."""
    return with_averages(small_config)


def program_of(config: ConfigDict, devices: int = 1, classes: int = 10, **axes: int) -> TrainingProgram:
    mesh = meshes.make_mesh(**axes, devices=jax.devices()[:devices])
    return build_program(config, mesh, clips_of_class=[1] * classes, total_steps=6, steps_per_epoch=3)


@pytest.fixture(scope="module")
def state(new_small_config: Callable[[], ConfigDict]) -> TrainState:
    """The first state, which no test changes."""
    config = with_averages(new_small_config())
    with jax.numpy_dtype_promotion("standard"):
        return program_of(config).initial_state()


def at_step(state: TrainState, step: int) -> TrainState:
    params = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf) + np.float32(step), leaf.sharding), state.params)
    return dataclasses.replace(state, step=jax.device_put(np.int32(step), state.step.sharding), params=params)


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


def test_a_state_may_be_given_up_while_it_is_written(small_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    """On CPU an array on the host can be a view of the array on the device, which the next step overwrites."""
    mesh = meshes.data_mesh(jax.devices()[:1])
    large = {f"layer{index}": np.full((512, 1024), index, np.float32) for index in range(16)}
    state = TrainState(np.int32(1), large, {}, {}, {}, jax.random.key(0))
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


@pytest.fixture(scope="module")
def written_once(
    new_small_config: Callable[[], ConfigDict], state: TrainState, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("two")
    described = description(with_averages(new_small_config()))
    with jax.numpy_dtype_promotion("standard"), Checkpoints(folder, keep=2) as checkpoints:
        for step in (3, 4):
            checkpoints.save(at_step(state, step), {}, described, {"top1": step / 10})
    return folder / "checkpoints"


@pytest.fixture
def two_checkpoints(written_once: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of checkpoints of steps 3 and 4."""
    return shutil.copytree(written_once, tmp_path / "checkpoints")


def flip(path: pathlib.Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def files_of(checkpoint: pathlib.Path) -> list[pathlib.Path]:
    """Its files but for the one that only says when Orbax was done, and is never read."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    return [path for path in files if path != checkpoint / "commit_success.txt"]


@pytest.mark.slow
def test_changed_bits_in_any_file_of_a_checkpoint_are_noticed(two_checkpoints: pathlib.Path) -> None:
    draw, checkpoint = random.Random(1), two_checkpoints / "4"
    files = files_of(checkpoint)
    assert len(files) > 20
    assert damaged_files(checkpoint) == []
    for path in files * 8:
        original = path.read_bytes()
        flip(path, draw)
        found = damaged_files(checkpoint)
        if path.name == "_CHECKPOINT_METADATA" and found == []:
            there, before = json.loads(path.read_bytes()), json.loads(original)
            assert there | {"commit_timestamp_nsecs": 0} == before | {"commit_timestamp_nsecs": 0}
        elif path.name != CHECKSUMS_FILE:
            assert len(found) == 1
            assert found[0].startswith(f"{path.relative_to(checkpoint)} ")
            assert "has other content than was written" in found[0] or path.name == "_CHECKPOINT_METADATA"
        else:
            assert found
        path.write_bytes(original)


@pytest.mark.fast_cases("unlink")
@pytest.mark.parametrize("damage", [flip, lambda path, draw: os.truncate(path, path.stat().st_size // 2), os.unlink])
def test_damage_is_named_with_the_intact_checkpoint_before(
    damage: Callable[..., None], small_config: ConfigDict, two_checkpoints: pathlib.Path
) -> None:
    largest = max(files_of(two_checkpoints / "4"), key=lambda path: path.stat().st_size)
    damage(*([largest] if damage is os.unlink else [largest, random.Random(2)]))
    with pytest.raises(UserError, match=r"checkpoints/4 is damaged: \w+/.*Remove this folder to continue from step 3"):
        load_for_inference(two_checkpoints.parent)
    message = r"checkpoints/4 is damaged: .*Remove this folder to continue from step 3, which is intact"
    with pytest.raises(UserError, match=message), Checkpoints(two_checkpoints.parent, keep=2) as checkpoints:
        checkpoints.restore(program_of(small_config).abstract_state())

    (two_checkpoints / "3" / "data" / "metadata").write_text("{")
    with pytest.raises(UserError, match=r"Copy this folder again from where it is intact.*none of the others is"):
        load_for_inference(two_checkpoints.parent)
    shutil.rmtree(two_checkpoints / "3")
    with pytest.raises(UserError, match=r"Copy this folder again from where it is intact.*there is no other one"):
        load_for_inference(two_checkpoints.parent)


def test_after_the_damaged_folder_is_removed_the_one_before_is_used(two_checkpoints: pathlib.Path) -> None:
    shutil.rmtree(two_checkpoints / "4")
    assert load_for_inference(two_checkpoints.parent).step == 3


def test_a_damaged_accuracy_of_any_checkpoint_is_named_before_the_best_is_chosen(
    two_checkpoints: pathlib.Path,
) -> None:
    metrics = two_checkpoints / "3" / "metrics" / "metrics"
    metrics.write_text(metrics.read_text().replace("0.3", "0.9"))
    message = r"checkpoints/3 is damaged: metrics/metrics .*continue from step 4"
    with pytest.raises(UserError, match=message):
        load_for_inference(two_checkpoints.parent, which="best")
    with pytest.raises(UserError, match=message):
        Checkpoints(two_checkpoints.parent, keep=2)
    assert load_for_inference(two_checkpoints.parent).step == 4


def test_a_checkpoint_without_checksums_is_used_and_said_to_be_unchecked(
    two_checkpoints: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_for_inference(two_checkpoints.parent)
    assert not [message for message in caplog.messages if "checksums" in message]
    (two_checkpoints / "4" / CHECKSUMS_FILE).unlink()
    assert load_for_inference(two_checkpoints.parent).step == 4
    assert len([message for message in caplog.messages if "4 has no checksums" in message]) == 1


@pytest.mark.fast_cases("7")
@pytest.mark.parametrize("seed", range(8))
def test_damage_in_a_checkpoint_without_checksums_leads_to_no_other_error(
    seed: int, small_config: ConfigDict, two_checkpoints: pathlib.Path
) -> None:
    draw, checkpoint = random.Random(seed), two_checkpoints / "4"
    (checkpoint / CHECKSUMS_FILE).unlink()
    path = draw.choice(files_of(checkpoint))
    os.truncate(path, draw.randrange(path.stat().st_size))
    messages = []
    for use in (load_for_inference, lambda workdir: restored(workdir, small_config)):
        try:
            use(two_checkpoints.parent)
        except UserError as error:
            messages.append(str(error))
    assert all("4 cannot be read: " in message for message in messages)
    assert all("remove this folder to continue from step 3, which is intact" in message for message in messages)


def restored(workdir: pathlib.Path, config: ConfigDict) -> None:
    with Checkpoints(workdir, keep=2) as checkpoints:
        checkpoints.restore(program_of(config).abstract_state())


@pytest.mark.fast_cases("data-*")
@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ("variables/_METADATA", "it has no file variables/_METADATA"),
        ("optimizer/_METADATA", "it has no file optimizer/_METADATA"),
        ("data", 'a part of it is missing: Item "data" was not found in the checkpoint'),
    ],
)
def test_an_unchecked_checkpoint_that_has_lost_a_file_is_named_with_the_one_before(
    lost: str, reason: str, small_config: ConfigDict, two_checkpoints: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (two_checkpoints / "4" / CHECKSUMS_FILE).unlink()
    (two_checkpoints / "4" / lost).rename(tmp_path / "lost")
    message = f"4 cannot be read: {reason}. If it is damaged, remove this folder to continue from step 3"
    with pytest.raises(UserError, match=message):
        restored(tmp_path, small_config)


def test_checksums_belong_to_a_checkpoint_before_it_has_its_name(
    small_config: ConfigDict, state: TrainState, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def write_and_look(folder: pathlib.Path) -> None:
        write_checksums(folder)
        seen.append((folder.name, [path.name for path in folder.parent.iterdir() if path.name.isdecimal()]))

    monkeypatch.setattr(checkpointing, "write_checksums", write_and_look)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (3, 4):
            checkpoints.save(at_step(state, step), {}, description(small_config))
    assert [(name.partition(".")[0], there) for name, there in seen] == [("3", []), ("4", ["3"])]
    assert all("orbax-checkpoint-tmp" in name for name, _ in seen)


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
