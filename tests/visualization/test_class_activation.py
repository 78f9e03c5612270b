import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.models import (
    mobilenetv2,
    mvit,
    resnet,
    slowfast,
    stage,
    timesformer,
    uniformer,
    video_resnet,
    video_swin,
    videomae,
    vivit,
    x3d,
)
from motion_vit.visualization import class_activation


@pytest.mark.fast_cases("resnet-*")
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("uniformer", {}),
        ("uniformer", {"input_adapter": "motion_prompt"}),
        ("resnet", {}),
        ("slowfast", {}),
        ("inception_i3d", {}),
        ("x3d", {}),
        ("mobilenetv2", {}),
    ],
)
def test_a_class_activation_map_adds_up_to_the_logit(small_model, everything, family, options):
    model, variables, clips = small_model(family, **options)
    maps = np.asarray(class_activation.class_activation_map(model, variables, clips, 3))
    others = np.asarray(class_activation.class_activation_map(model, variables, clips, 3, minus=1))
    logits = np.asarray(everything(family, **options).logits)
    params = variables["params"].get("backbone", variables["params"])
    bias = params["head"]["bias"]
    assert maps.ndim == 4
    np.testing.assert_allclose(maps.mean(axis=(1, 2, 3)) + bias[3], logits[:, 3], rtol=1e-4, atol=1e-4)
    difference = logits[:, 3] - bias[3] - logits[:, 1] + bias[1]
    np.testing.assert_allclose(others.mean(axis=(1, 2, 3)), difference, rtol=1e-4, atol=1e-4)


def test_grad_cam_of_what_the_classifier_averages_is_the_class_activation_map(small_model):
    model, variables, clips = small_model("resnet", image_size=64)
    layer = model.activation_layer()
    for minus in (None, 4):
        expected = np.asarray(class_activation.class_activation_map(model, variables, clips, 2, minus=minus))
        places = expected[0].size
        assert places == 12
        found = np.asarray(class_activation.grad_cam(model, variables, clips, layer, 2, minus=minus, positive=False))
        np.testing.assert_allclose(found * places, expected, rtol=1e-3, atol=1e-4)
        positive = class_activation.grad_cam(model, variables, clips, layer, 2, minus=minus)
        np.testing.assert_allclose(positive, np.maximum(found, 0), atol=1e-6)


@pytest.mark.slow
def test_grad_cam_of_a_block_is_that_of_finite_differences(small_model, everything):
    """Also where the recipe scans blocks and computes activations again."""
    options = {"neighbours": "both", "frame_offset": 2, "scan_blocks": True}
    layer = "stage3/block0_output"
    features = np.asarray(everything("uniformer", **options).maps[layer])
    model, variables, clips = small_model("uniformer", **options, remat="blocks")
    maps = class_activation.grad_cam(model, variables, clips, layer, 1, positive=False)
    assert maps.shape == (2, 3, 4, 4)

    @jax.jit
    def logit(change):
        _, state = jax.eval_shape(lambda: model.apply(variables, clips, mutable=["perturbations"]))
        zeros = jax.tree.map(jnp.zeros_like, state["perturbations"])
        zeros["stage3"]["block0_output"] += change
        return model.apply({**variables, "perturbations": zeros}, clips)[:, 1]

    # The weight of a channel is its mean gradient: the slope along a step of the whole channel, over its places.
    step = jnp.zeros_like(features).at[..., 5].set(1e-2)
    slope = (logit(step) - logit(-step)) / 2e-2 / features[0, ..., 0].size
    channels, values = features.reshape(2, -1, 16), np.asarray(maps).reshape(2, -1)
    weights = [np.linalg.lstsq(*clip, rcond=None)[0] for clip in zip(channels, values, strict=True)]
    np.testing.assert_allclose([weight[5] for weight in weights], slope, rtol=0.02, atol=1e-5)


def test_patches_of_a_timesformer_have_a_grad_cam_but_after_the_last_attention(small_model):
    model, variables, clips = small_model("timesformer", attention="space_only")
    maps = class_activation.grad_cam(model, variables, clips, "blocks/block0_output", 1)
    assert maps.shape == (2, 3, 3, 3)
    assert maps.max() > 0
    with pytest.raises(motion_vit.UserError, match="patches of 'blocks/block1_output' have no effect"):
        class_activation.grad_cam(model, variables, clips, "blocks/block1_output", 1)
    with pytest.raises(motion_vit.UserError, match="TimeSformer has no class activation map"):
        class_activation.class_activation_map(model, variables, clips, 1)


@pytest.mark.fast_cases("videomae")
@pytest.mark.parametrize(
    "family",
    [
        *("uniformer", "timesformer", "videomae", "video_swin", "mvit", "vivit"),
        *("resnet", "slowfast", "x3d", "mobilenetv2", "video_resnet"),
    ],
)
def test_training_computes_what_it_did_before_outputs_had_names(small_model, monkeypatch, family):
    model, variables, clips = small_model(family)

    def loss(params):
        mutable = ["batch_stats", "losses", "summaries"]
        logits, updates = model.apply({**variables, "params": params}, clips, train=True, mutable=mutable)
        return jnp.sum(logits), updates

    def program():
        return str(jax.make_jaxpr(jax.grad(loss, has_aux=True))(variables["params"]))

    named = program()
    calls = []
    for module in (
        *(mobilenetv2, mvit, resnet, slowfast, stage, timesformer),
        *(uniformer, video_resnet, video_swin, videomae, vivit, x3d),
    ):
        monkeypatch.setattr(
            module, "name_output", lambda module, name, value: calls.append(name) or value, raising=True
        )
    assert program() == named
    assert calls
    assert set(jax.eval_shape(model.init, jax.random.key(0), clips)) <= {"params", "batch_stats"}


def test_classes_are_found_by_name_or_number():
    names = ("walk", "run", "jump", "7")
    assert [class_activation.class_number(names, name) for name in ("run", "2", "7")] == [1, 2, 3]
    with pytest.raises(motion_vit.UserError, match=r"no class 'jumps' among its 4 classes\. Close to it are: jump"):
        class_activation.class_number(names, "jumps")
    with pytest.raises(motion_vit.UserError, match="They start with: walk, run"):
        class_activation.class_number(names, "12")


def test_several_classes_are_separated_by_commas_which_their_names_may_have_too():
    names = ("lift", "lift, then drop", "drop")
    texts = ("lift", "lift, then drop", "lift, drop", "lift, then drop,drop", "2,lift, then drop")
    found = [class_activation.class_numbers(names, text) for text in texts]
    assert found == [(0,), (1,), (0, 2), (1, 2), (2, 1)]
    with pytest.raises(motion_vit.UserError, match="no class 'then'"):
        class_activation.class_numbers(names, "lift, then")


def test_mistakes_are_explained(small_model):
    model, variables, clips = small_model("videomae")
    mistakes = {
        "the model has the classes 0 to 4; given 5": ("norm_output", 5),
        "one layer at a time; given a pattern of blocks/block0_output, blocks/block1_output": (
            "blocks/block*_output",
            0,
        ),
        "whose name ends in _output; given 'blocks/block0/attention/cost_volume'": (
            "blocks/block0/attention/cost_volume",
            0,
        ),
        "no intermediate 'stage9'": ("stage9", 0),
    }
    for message, (layer, number) in mistakes.items():
        with pytest.raises(motion_vit.UserError, match=message):
            class_activation.grad_cam(model, variables, clips, layer, number)
