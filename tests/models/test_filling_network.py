"""Networks that predict what is filled: they see nothing of it, and have the parameters of a classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from pretraining_recipe import FILLING_OPTIONS

import motion_vit
from motion_vit import UserError
from motion_vit.models.checked_model import variable_shapes
from motion_vit.models.filling_network import FillingNetwork, fill_tubelets, make_filling_network

SHAPE = (1, 4, 16, 16, 3)


def network(**options: object) -> FillingNetwork:
    fields = {**FILLING_OPTIONS, "frames": 4, "image_size": 16, **options}
    return make_filling_network(motion_vit.create_model("uniformer_emim_tiny", **fields))


@pytest.mark.slow
def test_hidden_pixels_change_no_prediction_also_where_the_mask_changes_from_frame_to_frame() -> None:
    clips = jax.random.normal(jax.random.key(0), SHAPE)
    # The first row of places is seen in even frames, the last one in odd frames.
    visible = jnp.asarray([[[0, 1, 2, 3], [12, 13, 14, 15]] * 2])
    hidden = jnp.asarray([[list(range(4, 16)), list(range(12))] * 2])
    variables = jax.jit(network().init)(jax.random.key(1), clips, visible, hidden)
    predict = jax.jit(network().apply)
    expected = predict(variables, clips, visible, hidden)
    assert expected.shape == (1, 4, 12, 4 * 4 * 3)
    assert expected.dtype == jnp.float32
    changed_hidden = clips.at[:, ::2, 4:].set(7.0).at[:, 1::2, :12].set(-7.0)
    np.testing.assert_array_equal(predict(variables, changed_hidden, visible, hidden), expected)
    changed_shown = clips.at[:, 2, :4].set(7.0)
    assert not np.allclose(predict(variables, changed_shown, visible, hidden), expected)


def test_hidden_tubelets_are_replaced_and_no_others() -> None:
    clips = np.arange(2 * 4 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 4, 6, 3)
    filling = -1 - np.arange(2 * 2 * 3 * 3, dtype=np.float32).reshape(2, 2, 3, 3)
    hidden = np.zeros((2, 2, 2, 2), bool)
    hidden[1, 0, 1, 0] = True
    expected = np.array(clips)
    expected[1, :2, 2:, :3] = filling
    np.testing.assert_array_equal(jax.jit(fill_tubelets)(clips, hidden, filling), expected)


@pytest.mark.fast_cases("options0")
@pytest.mark.parametrize(
    "options", [{}, {"placement": "gg", "motion_module": "m2a"}, {"stem_temporal_stride": 2, "layer_scale": 0.1}]
)
def test_the_encoder_has_all_parameters_and_statistics_of_the_classifier_but_its_head(
    options: dict[str, object],
) -> None:
    some = np.zeros((1, 4 // options.get("stem_temporal_stride", 1), 4), np.int32)
    shapes = jax.eval_shape(network(**options).init, jax.random.key(0), np.zeros(SHAPE, np.float32), some, some)
    model = motion_vit.create_model(
        "uniformer_emim_tiny", **{**FILLING_OPTIONS, "frames": 4, "image_size": 16, **options}
    )
    whole = variable_shapes(model)
    for collection in ("params", "batch_stats"):
        ours, classifier = (traverse_util.flatten_dict(tree[collection], sep="/") for tree in (shapes, whole))
        parts = tuple(f"{part}/" for part in model.feature_encoder().parts)
        encoder = {path: leaf.shape for path, leaf in ours.items() if path.startswith(parts)}
        assert encoder == {path: leaf.shape for path, leaf in classifier.items() if not path.startswith("head/")}
        beside = {path.partition("/")[0] for path in ours.keys() - encoder.keys()}
        assert beside == ({"mask_token", "pixel_head"} if collection == "params" else set())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("videomae_tiny", {}, "a VideoMAE cannot be pretrained by masked filling.*masked_autoencoding"),
        ("uniformer_tiny", {"input_adapter": "motion_prompt"}, "a MotionPrompted cannot be pretrained"),
        ("uniformer_tiny", {"image_size": 48}, "1 x 32 x 32 pixels, which.*do not fill clips of 16 frames of 48 x 48"),
        ("uniformer_tiny", {"stem_temporal_stride": 2, "frames": 5}, "do not fill clips of 5 frames"),
    ],
)
def test_models_and_clips_without_this_form_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_filling_network(motion_vit.create_model(name, **options))
