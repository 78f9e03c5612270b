"""Video motion prompts before a backbone, from its options to its gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables

import motion_vit
from motion_vit.models.inspection import measure_costs
from motion_vit.models.options import extra_frames, model_options, with_options
from motion_vit.training.step.regex_rules import matches

TINY = {
    "widths": (8, 8, 16, 16),
    "depths": (1, 1, 1, 1),
    "head_channels": 8,
    "window": 3,
    "frames": 4,
    "image_size": 32,
    # Everything that sees motion in one network: cost volumes, a module before each attention, and the prompt.
    "placement": "ll",
    "motion_module": "m2a",
    "depthwise_implementation": "xla_conv",  # compiles fastest
}
PROMPTED = {**TINY, "input_adapter": "motion_prompt", "prompt_regularization": 0.5, "num_classes": 5}


def test_the_clips_have_one_frame_more_than_the_backbone_sees() -> None:
    model = motion_vit.create_model("uniformer_emim_tiny", **PROMPTED)
    assert model.clip_shape == (5, 32, 32, 3)
    assert (model.frames, model.image_size, model.num_classes) == (4, 32, 5)
    assert extra_frames(PROMPTED) == 1
    assert extra_frames(TINY) == 0
    clips = np.zeros((2, *model.clip_shape), np.float32)
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), clips)
    assert logits.shape == (2, 5)
    assert set(variables) == {"params", "batch_stats"}
    assert set(variables["params"]) == {"prompt", "backbone"}
    assert set(variables["params"]["prompt"]) == {"m", "n"}


def test_the_backbone_sees_the_prompts_and_training_reports_and_regularises_them() -> None:
    model = motion_vit.create_model("uniformer_emim_tiny", **PROMPTED)
    clips = jax.device_put(np.random.default_rng(0).standard_normal((2, *model.clip_shape)).astype(np.float32))
    variables = drawn_variables(model)

    def loss(params: dict) -> tuple[jax.Array, dict]:
        logits, stored = model.apply(
            {**variables, "params": params}, clips, train=True, mutable=["batch_stats", "losses", "summaries"]
        )
        return jnp.sum(logits**2) + sum(leaf.sum() for leaf in jax.tree.leaves(stored["losses"])), stored

    (_, stored), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    assert stored["losses"]["prompt"]["attention_variation"][0].shape == (2,)
    assert set(stored["summaries"]["prompt"]) == {"slope", "shift"}
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grads["prompt"]))
    logits, found = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))(variables, clips)
    assert found["prompt/attention_map"].shape == (2, 4, 32, 32)
    assert found["backbone/stage3/block0_output"].shape == (2, 4, 2, 2, 16)
    attention = np.asarray(found["prompt/attention_map"])[..., None]
    alone = motion_vit.create_model("uniformer_emim_tiny", **TINY, num_classes=5)
    behind = {kind: tree["backbone"] for kind, tree in variables.items()}
    expected = jax.jit(alone.apply)(behind, attention * clips[:, 1:])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_options_are_written_and_read_back() -> None:
    model = motion_vit.create_model("uniformer_emim_tiny", **PROMPTED, pixel_mean=[0.5, 0.4, 0.3], dtype="bfloat16")
    options = model_options(model)
    assert (options["input_adapter"], options["window"], options["dtype"]) == ("motion_prompt", 3, "bfloat16")
    assert motion_vit.create_model("uniformer_emim_tiny", **options) == model
    changed = with_options(model, {"remat": "blocks", "prompt_regularization": 2.0, "unknown": 1})
    assert model_options(changed) == {**options, "remat": "blocks", "prompt_regularization": 2.0}


def test_parts_of_the_backbone_are_listed_beside_the_prompt() -> None:
    costs = measure_costs(motion_vit.create_model("uniformer_emim_tiny", **PROMPTED))
    alone = measure_costs(motion_vit.create_model("uniformer_emim_tiny", **TINY, num_classes=5))
    assert costs["prompt"].parameters == 2
    assert costs["backbone/stage3"] == alone["stage3"]
    assert set(costs) == {"prompt", *(f"backbone/{part}" for part in alone)}


def test_the_prompt_belongs_to_the_first_layer() -> None:
    model = motion_vit.create_model("uniformer_emim_tiny", **PROMPTED)
    clips = np.zeros((1, *model.clip_shape), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), clips)["params"]
    layers = matches("layers", model.layer_patterns(), params)
    assert None not in layers.values()
    assert layers["prompt/m"] == layers["backbone/patch_embed1/proj/kernel"] == 0
    assert layers["backbone/head/kernel"] == len(model.layer_patterns()) - 1


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_adapter": "flow"}, "input_adapter is 'flow', but must be one of none, motion_prompt"),
        ({"input_adapter": ["flow"]}, "input_adapter is .*, but must be one of none, motion_prompt"),
        ({"prompt_regularization": 1.0}, "needs the option input_adapter='motion_prompt' beside it"),
        ({"input_adapter": "motion_prompt", "prompt_regularization": -1.0}, "must be a number from 0"),
        ({"input_adapter": "motion_prompt", "prompt_grey_weights": "hsv"}, "must be one of rgb, bgr"),
        (
            {"input_adapter": "motion_prompt", "pixel_mean": (0.5,)},
            "must be a tuple of 3 items",
        ),
        ({"input_adapter": "motion_prompt", "prompt_grey": "rgb"}, "Did you mean 'prompt_grey_weights'"),
        ({"inputadapter": "motion_prompt"}, "Did you mean 'input_adapter'"),
    ],
)
def test_wrong_options_of_the_adapter_are_explained(options: dict, message: str) -> None:
    with pytest.raises(motion_vit.UserError, match=message):
        motion_vit.create_model("uniformer_emim_tiny", **options)


@pytest.mark.mistyped
def test_clips_without_the_extra_frame_still_need_two() -> None:
    model = motion_vit.create_model("uniformer_emim_tiny", **PROMPTED)
    with pytest.raises(ValueError, match="expected at least 2 frames"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match="expected clips"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
