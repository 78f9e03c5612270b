"""The I3D of Inception-V1 against PyTorch code: activations, logits, and all that a training step changes."""

import functools

import goldens
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.registry import torch_entries
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes

# 50 rows become 25, 13, 7, 4 and 2: padding of all kinds.
TINY = {"width": 64, "pool_size": (2, 2, 2)}
END_POINTS = {
    **{"Conv3d_1a_7x7": "stem", "Conv3d_2b_1x1": "conv2b", "Conv3d_2c_3x3": "conv2c"},
    **{"MaxPool3d_2a_3x3": "pool2", "MaxPool3d_3a_3x3": "pool3"},
    **{"MaxPool3d_4a_3x3": "pool4", "MaxPool3d_5a_2x2": "pool5"},
    **{f"Mixed_{end}": f"mixed{end}" for end in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")},
}


def load(model):
    """The goldens' weights, drawn by name and shape."""
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    entries = torch_entries(model, shapes)
    names = [(entry.name, entry.layout.torch_shape(shapes[path])) for path, entry in entries.items()]
    variables, report = load_torch(model, {name: goldens.weight(name, shape) for name, shape in names})
    assert report.complete
    return variables


def to_torch(model, tree):
    """Arrays of a tree with its collection under PyTorch's names, in its layouts."""
    flat = {path: np.asarray(value) for path, value in traverse_util.flatten_dict(tree, sep="/").items()}
    return {entry.name: entry.layout.to_torch(flat[path]) for path, entry in torch_entries(model, flat).items()}


def tiny():
    """Model, weights, golden and clips of the small clips."""
    model, golden = motion_vit.create_model("i3d_inception_tiny", **TINY), goldens.load("i3d_inception_tiny")
    return model, load(model), golden, jax.device_put(goldens.slowfast_video(golden))


@pytest.mark.slow
def test_every_end_point_and_the_logits_are_those_of_the_authors_code():
    model, variables, golden, clips = tiny()
    logits, intermediates = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))(variables, clips)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    compared = {entry.split("/")[1] for entry in golden if entry.startswith("eval_mean/")}
    assert compared == END_POINTS.keys()
    for end_point, name in END_POINTS.items():
        value, stride = np.asarray(intermediates[f"{name}_output"]), int(golden[f"eval_stride/{end_point}"])
        largest = float(np.abs(golden[f"eval/{end_point}"]).max())
        goldens.assert_matches(golden, f"eval/{end_point}", value[:1, ..., ::stride], rtol=1e-3, atol=1e-3 * largest)
        mean = golden[f"eval_mean/{end_point}"]
        np.testing.assert_allclose(
            value.mean(axis=(1, 2, 3)), mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max(), err_msg=end_point
        )


@pytest.mark.slow
def test_a_training_step_changes_what_it_changes_in_the_authors_code():
    model, variables, golden, clips = tiny()
    labels = golden["labels"].astype(np.int32)

    def loss(params):
        logits, updates = model.apply({**variables, "params": params}, clips, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), (logits, updates)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, updates)), gradients = step(variables["params"])
    np.testing.assert_allclose(value, golden["train/loss"], rtol=1e-4)
    np.testing.assert_allclose(logits, golden["train/logits"], rtol=1e-4, atol=1e-4)
    gradients, buffers = to_torch(model, {"params": gradients}), to_torch(model, updates)
    # In float64 gradients are within 6e-8. In float32 a few inputs of ReLUs change sides of zero, which is much of a
    # gradient where a channel has 16 places; buffers and logits do not depend on it.
    for kind, arrays, rtol in (("buffer", buffers, 1e-4), ("grad", gradients, 5e-2)):
        norms = dict(zip(golden[f"train/{kind}_norm_names"].tolist(), golden[f"train/{kind}_norms"], strict=True))
        assert norms.keys() == arrays.keys()
        for entry, norm in norms.items():
            np.testing.assert_allclose(np.linalg.norm(arrays[entry]), norm, rtol=rtol, err_msg=entry)
        for entry in golden:
            if entry.startswith(f"train/{kind}/"):
                atol = rtol * np.abs(golden[entry]).max()
                np.testing.assert_allclose(arrays[entry.split("/")[2]], golden[entry], rtol=0, atol=atol, err_msg=entry)
