"""What the temporal encoder of a run starts from, beside the weights of the rest."""

import copy
import functools
import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from small_trained_model import small_trained_model

from motion_vit import UserError
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.loop.initial_weights import start_from_weights
from motion_vit.training.loop.temporal_weights import fit_temporal_encoder
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import validate, validate_fields
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.program import build_program

OPTIONS = {
    **{"width": 16, "depth": 3, "temporal_depth": 2, "heads": 2, "patch_size": 8, "tubelet_frames": 1, "window": 3},
    "attention": "factorised_encoder",
}
ADAPTER = ("params/adapter/",)
TEMPORAL = ("params/temporal_",)
BLOCKS = ("params/temporal_blocks/",)


@functools.cache  # tracing a model takes a second
def trained(seed: int = 0, **options: object) -> TrainedModel:
    return small_trained_model(seed, name="vivit_tiny", size=16, **OPTIONS | options)


def flat(variables: object) -> dict[str, np.ndarray]:
    return dict(traverse_util.flatten_dict(jax.device_get(variables), sep="/"))


def fit(
    source: str, other: TrainedModel | None = None, *, given: TrainedModel | None = None, **options: object
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], str]:
    """What a model of some options takes from given weights and what it starts anew, by path, and what is told."""
    model = trained(**options)
    weights = flat((given or trained()).variables)
    fresh = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in flat(model.variables).items()}
    encoder = model.model.temporal_encoder()
    assert encoder is not None
    note = fit_temporal_encoder(weights, fresh, encoder, source, other)
    assert weights.keys() == fresh.keys(), "what is taken is what is looked for"
    return weights, {path: leaf for path, leaf in flat(model.variables).items() if path not in weights}, note


def test_all_is_taken_where_nothing_else_is_named() -> None:
    weights, anew, note = fit("")
    assert (anew, note) == ({}, "")
    np.testing.assert_array_equal(
        weights["params/temporal_norm/scale"], trained().variables["params"]["temporal_norm"]["scale"]
    )


@pytest.mark.parametrize("adapter", ["bottleneck", "attention", "emim"])
def test_an_adapter_that_the_weights_lack_starts_anew(adapter: str) -> None:
    _, anew, note = fit("", adapter=adapter)
    assert anew
    assert all(path.startswith(ADAPTER) for path in anew)
    assert note == " The adapter, which they lack, starts anew."
    assert fit("", given=trained(adapter=adapter), adapter=adapter)[1] == {}


def test_a_temporal_encoder_starts_anew_of_any_depth() -> None:
    _, anew, note = fit("anew", temporal_depth=3)
    assert all(path.startswith(TEMPORAL) for path in anew)
    assert len(anew) == len([path for path in flat(trained(temporal_depth=3).variables) if path.startswith(TEMPORAL)])
    assert note == " The temporal encoder starts anew."


def test_blocks_are_copies_of_the_last_blocks_of_the_image_network() -> None:
    weights, anew, note = fit("image")
    given = flat(trained().variables)
    copied = {path: array for path, array in weights.items() if path.startswith(BLOCKS)}
    assert len(copied) == 24
    for path, array in copied.items():
        image = path.replace("temporal_blocks/block1", "blocks/block2").replace(
            "temporal_blocks/block0", "blocks/block1"
        )
        np.testing.assert_array_equal(array, given[image], err_msg=path)
    assert {path.split("/")[1] for path in anew} == {"temporal_places", "temporal_norm"}
    assert "copies of the last 2 of the spatial one" in note


def test_a_temporal_encoder_of_another_run_may_be_of_other_frames_and_behind_other_spatial_blocks() -> None:
    other = trained(2, depth=1, patch_size=4)
    weights, anew, note = fit("runs/other", other)
    theirs = flat(other.variables)
    taken = [path for path in weights if path.startswith(TEMPORAL)]
    assert len(taken) == 28
    for path in taken:
        np.testing.assert_array_equal(weights[path], theirs[path], err_msg=path)
    assert anew == {}
    assert note == " The temporal encoder is that of runs/other, 21 steps trained."
    shorter = copy.deepcopy(other)
    table = shorter.variables["params"]["temporal_places"]["place_embedding"]  # of 4 frames and a class token
    shorter.variables["params"]["temporal_places"]["place_embedding"] = table[:3]
    resized = fit("runs/other", shorter)[0]["params/temporal_places/place_embedding"]
    thirds = np.linspace(0, 1, 4)[:, None]
    np.testing.assert_array_equal(resized[0], table[0])
    np.testing.assert_allclose(resized[1:], (1 - thirds) * table[1] + thirds * table[2], rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(
        UserError, match=r"'image', but the spatial encoder has fewer blocks than the 4 of the temporal"
    ):
        fit("image", temporal_depth=4)
    with pytest.raises(UserError, match=r"(?s)the model has no temporal_blocks/block1/attention/rpb.*Take 'anew'"):
        fit("image", given=trained(placement="lg"), placement="lg")
    with pytest.raises(UserError, match=r"runs/other \(config field temporal_weights\) has 1 block in its temporal"):
        fit("runs/other", trained(temporal_depth=1))
    with pytest.raises(UserError, match=r"has no temporal encoder, but 2 are needed"):
        fit("runs/other", trained(attention="joint"))
    with pytest.raises(UserError, match=r"(?s)the temporal encoder of runs/other .* is of another model:.*is \(32,\)"):
        fit("runs/other", trained(width=32))


def recipe(folder: pathlib.Path, **options: object) -> ConfigDict:
    config = default_config()
    config.model.name = "vivit_tiny"
    config.model.options.update(OPTIONS | options)
    config.data.frames, config.data.size, config.batch_size = 4, 16, 8
    config.data.train = "unused"
    config.initial_weights = str(folder)
    return config


@pytest.mark.slow
def test_a_run_of_several_devices_starts_from_three_places(tmp_path: pathlib.Path) -> None:
    options = {"depth": 1, "temporal_depth": 1}
    given, other = trained(**options), trained(2, **options)
    write_weights_folder(tmp_path / "given", given)
    write_weights_folder(tmp_path / "other", other)
    config = recipe(tmp_path / "given", **options, adapter="bottleneck", frozen="spatial")
    config.temporal_weights = str(tmp_path / "other")
    config.ema = ((".*", 0.9),)
    validate(config)
    mesh = meshes.make_mesh(data=2, fsdp=4)
    program = build_program(config, mesh, clips_of_class=[1] * 10, total_steps=6, steps_per_epoch=3)
    state, report = start_from_weights(program, given.label_names)
    fresh = flat(program.initial_state().variables)
    for path, value in flat(state.variables).items():
        source = fresh if path.startswith(ADAPTER) else flat((other if path.startswith(TEMPORAL) else given).variables)
        np.testing.assert_array_equal(value, source[path], err_msg=path)
    for path, value in flat(state.averaged_variables).items():
        np.testing.assert_array_equal(value, flat(state.variables)[path], err_msg=path)
    assert "The adapter, which they lack, starts anew. The temporal encoder is that of" in report
    assert "  adapter was 'none' and is 'bottleneck'" in report


def test_a_recipe_that_asks_for_what_there_is_not_is_refused(tmp_path: pathlib.Path) -> None:
    config = recipe(tmp_path)
    config.temporal_weights, config.initial_weights = "image", ""
    with pytest.raises(UserError, match="goes with weights of the rest, but config field initial_weights is empty"):
        validate_fields(config)
    config = recipe(tmp_path, attention="joint")
    config.temporal_weights = "image"
    with pytest.raises(UserError, match="'vivit_tiny' with its options has no temporal encoder"):
        validate(config)
