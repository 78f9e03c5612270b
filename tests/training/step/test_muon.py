"""Muon: which parameters it is for, and what its updates are."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

import motion_vit
from motion_vit import UserError
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.muon import matrices, scale_by_orthogonal_momentum
from motion_vit.training.step.optimizer import make_optimizer

FUSED = {"block": {"qkv": {"kernel": np.ones((8, 24), np.float32)}}}


def shapes(name: str, **options: Any) -> Any:
    return variable_shapes(motion_vit.create_model(name, **options))["params"]


def random_like(params: Any, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.standard_normal(leaf.shape).astype(np.float32), params)


def first_updates(optimizer: optax.GradientTransformation, grads: Any, params: Any) -> Any:
    """The updates of the first step, compiled whole."""
    return jax.jit(lambda grads, params: optimizer.update(grads, optimizer.init(params), params)[0])(grads, params)


def muon_config() -> ConfigDict:
    config = default_config()
    config.optimizer.name = "muon"
    return config


@pytest.mark.fast_cases("uniformer_emim_tiny-*", "resnet50_tsm-*", "timesformer_tiny-*", "videomae_tiny-*")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniformer_emim_s", {}),
        ("uniformer_emim_tiny", {"input_adapter": "motion_prompt", "motion_module": "m2a"}),
        ("timesformer_tiny", {"temporal_attention": "cost_volume"}),
        ("mvit_v2_tiny", {"motion_module": "m2a"}),
        ("videomae_tiny", {"placement": "lg", "positions": "learned"}),
        ("video_swin_tiny", {"placement": "lg"}),
        ("vivit_tiny", {"attention": "factorised_encoder", "placement": "lg"}),
        ("resnet18_tiny", {"motion_module": "tdn+tam", "temporal_shift": True}),
        ("resnet50_tsm", {}),
        ("slowfast_4x16_r50", {}),
        ("i3d_inception_tiny", {}),
        ("x3d_xs", {}),
        ("mobilenetv2_m2a", {}),
        ("r2plus1d_18", {}),
    ],
)
def test_kernels_of_hidden_layers_are_muons_and_all_else_is_adamws(name: str, options: dict[str, Any]) -> None:
    params = traverse_util.flatten_dict(shapes(name, **options), sep="/")
    counts = traverse_util.flatten_dict(matrices((), traverse_util.unflatten_dict(params, sep="/")), sep="/")
    for path, count in counts.items():
        parts = path.removeprefix("backbone/").split("/")
        outside = {"head", "patch_embed1", "embedding", "stem", "position", "depthwise", "prompt", "tdn", "tam"}
        outside |= {"slow_stem", "fast_stem"}
        is_matrix = parts[-1] == "kernel" and not outside & set(parts)
        assert count == (0 if not is_matrix else 3 if parts[-2] == "qkv" else 1), path
    trained = sum(params[path].size for path, count in counts.items() if count)
    assert trained > 0.6 * sum(leaf.size for leaf in params.values())


def test_queries_keys_and_values_are_orthogonalised_each_by_itself() -> None:
    transformation = scale_by_orthogonal_momentum({"block": {"qkv": {"kernel": 3}}}, momentum=0.95)
    grads = random_like(FUSED)
    # Whatever the size of the gradient of one of them, its update has the same size as the others'.
    scaled = jax.tree.map(lambda leaf: leaf * np.repeat(np.array([[1, 100, 0.01]], np.float32), 8, axis=1), grads)
    updates = first_updates(transformation, scaled, FUSED)
    for part in np.split(np.asarray(updates["block"]["qkv"]["kernel"]), 3, axis=1):
        singular_values = np.linalg.svd(part / (0.2 * np.sqrt(8)), compute_uv=False)
        # Newton-Schulz iterations stop between 0.7 and 1.2, as their author says.
        assert singular_values.min() > 0.5
        assert singular_values.max() < 1.3


def test_the_direction_is_that_of_the_nearest_orthogonal_matrix_to_the_nesterov_momentum() -> None:
    params = {"kernel": np.zeros((12, 6), np.float32)}
    transformation = scale_by_orthogonal_momentum({"kernel": 1}, momentum=0.9)
    state = jax.jit(transformation.init)(params)
    update_of = jax.jit(transformation.update)
    average = np.zeros((12, 6))
    for step in range(3):
        grads = random_like(params, step)
        updates, state = update_of(grads, state)
        gradient = np.asarray(grads["kernel"], np.float64)
        average = 0.9 * average + 0.1 * gradient  # the published form
        left, _, right = np.linalg.svd(0.9 * average + 0.1 * gradient, full_matrices=False)
        direction = (left @ right).ravel()
        update = np.asarray(updates["kernel"], np.float64).ravel()
        assert direction @ update / np.linalg.norm(direction) / np.linalg.norm(update) > 0.97
        assert np.sqrt(np.mean(update**2)) == pytest.approx(0.2, rel=0.2)


def test_a_convolution_is_one_matrix_from_its_window_to_its_outputs() -> None:
    kernel = random_like({"kernel": np.zeros((1, 2, 2, 8, 6))})
    matrix = jax.tree.map(lambda leaf: leaf.reshape(-1, 6), kernel)
    transformation = scale_by_orthogonal_momentum({"kernel": 1}, momentum=0.9)
    # Not compiled whole, which rounds the two otherwise.
    of_kernel, _ = transformation.update(kernel, transformation.init(kernel))
    of_matrix, _ = transformation.update(matrix, transformation.init(matrix))
    np.testing.assert_array_equal(of_kernel["kernel"].reshape(-1, 6), of_matrix["kernel"])


def test_the_other_parameters_are_updated_as_by_adamw() -> None:
    shapes = {"block": {"kernel": (4, 4), "bias": (4,)}, "head": {"kernel": (4, 2), "bias": (2,)}}
    params = {layer: {leaf: np.ones(shape, np.float32) for leaf, shape in of.items()} for layer, of in shapes.items()}
    config, grads = muon_config(), random_like(params)
    updates = {}
    for name in ("muon", "adamw"):
        config.optimizer.name = name
        optimizer = make_optimizer(config, optax.schedules.constant_schedule(0.1), params)
        updates[name] = first_updates(optimizer, grads, params)
    for layer, leaf in (("block", "bias"), ("head", "kernel"), ("head", "bias")):
        np.testing.assert_array_equal(updates["muon"][layer][leaf], updates["adamw"][layer][leaf])
    assert not np.allclose(updates["muon"]["block"]["kernel"], updates["adamw"]["block"]["kernel"])


def test_weight_decay_and_freezing_hold_for_both() -> None:
    kernel, bias = np.ones((4, 4), np.float32), np.ones(4, np.float32)
    params = {name: {"kernel": kernel, "bias": bias} for name in ("block", "frozen", "head")}
    config = muon_config()
    config.optimizer.weight_decay = 0.5
    config.optimizer.frozen = (("frozen/.*", True),)
    optimizer = make_optimizer(config, optax.schedules.constant_schedule(0.1), params)

    @jax.jit
    def first_step(params: Any) -> tuple[Any, optax.OptState]:
        nothing = jax.tree.map(jnp.zeros_like, params)
        return optimizer.update(nothing, optimizer.init(params), params)

    updates, state = first_step(params)
    for name in ("block", "head"):
        np.testing.assert_allclose(updates[name]["kernel"], -0.05, rtol=1e-6)
        np.testing.assert_array_equal(updates[name]["bias"], 0)
    np.testing.assert_array_equal(updates["frozen"]["kernel"], 0)
    # One momentum for Muon's kernel; two moments for each of AdamW's three parameters.
    assert sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim) == 16 + 2 * (4 + 16 + 4)


def test_rules_of_the_recipe_come_first_and_must_fit() -> None:
    assert matrices((("block/.*", 0),), FUSED) == {"block": {"qkv": {"kernel": 0}}}
    assert matrices((("block/.*", 4),), FUSED) == {"block": {"qkv": {"kernel": 4}}}
    with pytest.raises(
        UserError, match=r"optimizer.muon.matrices asks for 5 matrices .* in block/qkv/kernel of shape \(8, 24\)"
    ):
        matrices((("block/.*", 5),), FUSED)
    with pytest.raises(UserError, match="matches no parameter"):
        matrices((("blok/.*", 1),), FUSED)
