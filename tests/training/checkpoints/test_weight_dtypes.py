import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.training.checkpoints.weight_dtypes import SCALE_SUFFIX, compress, expand, stored_shapes

DTYPES = ("float32", "bfloat16", "float16", "int8-weights")


def variables(seed: int = 0) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Kernels of two and four axes whose channels differ in size by orders of magnitude, and what is no kernel."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        sizes = 10.0 ** rng.uniform(-6, 2, shape[-1])
        return (rng.standard_normal(shape) * sizes).astype(np.float32)

    depthwise = draw(3, 5, 5, 7)
    depthwise[..., 2] = 0
    params = {
        "depthwise": {"kernel": depthwise, "bias": draw(7)},
        "linear": {"kernel": draw(11, 13)},
        "attention": {"rpb": draw(2, 3, 3)},
    }
    return {"params": params, "batch_stats": {"norm": {"mean": draw(7), "var": np.square(draw(7))}}}


def difference(stored: np.ndarray, original: np.ndarray) -> np.ndarray:
    return np.abs(stored.astype(np.float64) - original)


def test_float32_is_kept_bit_for_bit() -> None:
    chex.assert_trees_all_equal(expand(compress(variables(), "float32")), variables())


@pytest.mark.parametrize("seed", range(5))
def test_int8_is_off_by_half_a_step_of_its_channel_at_most(seed: int) -> None:
    given = variables(seed)
    stored = compress(given, "int8-weights")
    expanded = expand(stored)
    for layer in ("depthwise", "linear"):
        kernel, scale = given["params"][layer]["kernel"], stored[f"params/{layer}/kernel{SCALE_SUFFIX}"]
        assert stored[f"params/{layer}/kernel"].dtype == np.int8
        assert scale.shape == kernel.shape[-1:]
        # The scale, the level times it and the channel's largest weight are rounded to float32 too.
        bound = scale.astype(np.float64) * (0.5 + 127 * 2.0**-22)
        assert (difference(expanded["params"][layer]["kernel"], kernel) <= bound).all()
        # No scale is larger than need be: the largest weight of a channel is at the end of the range.
        levels = np.abs(stored[f"params/{layer}/kernel"].astype(int)).max(axis=tuple(range(kernel.ndim - 1)))
        assert set(levels.tolist()) <= {0, 127}
    others = [("params", "depthwise", "bias"), ("params", "attention", "rpb"), ("batch_stats", "norm", "var")]
    for collection, module, name in others:
        np.testing.assert_array_equal(expanded[collection][module][name], given[collection][module][name])


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_short_floats_are_off_by_half_a_unit_of_their_last_place_and_statistics_not_at_all(
    dtype: str, bits: int
) -> None:
    given = variables()
    expanded = expand(compress(given, dtype))
    # Below float16's smallest normal number, the distance of its numbers is constant.
    floor = 2.0**-25 if dtype == "float16" else 0.0
    jax.tree.map(
        lambda new, old: np.testing.assert_array_less(difference(new, old), np.abs(old) * 2.0**-bits + floor + 1e-40),
        expanded["params"],
        given["params"],
    )
    chex.assert_trees_all_equal(expanded["batch_stats"], given["batch_stats"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_rounded_once_is_not_rounded_again(dtype: str) -> None:
    once = expand(compress(variables(), dtype))
    twice = expand(compress(once, dtype))
    chex.assert_trees_all_close(once, twice, rtol=1e-6)


def test_a_compiled_program_expands_what_it_holds_in_the_small_form() -> None:
    stored = compress(variables(), "int8-weights")
    compiled = jax.jit(expand)({path: jnp.asarray(array) for path, array in stored.items()})
    chex.assert_trees_all_equal(compiled, expand(stored))


@pytest.mark.parametrize("dtype", DTYPES)
def test_shapes_foretell_what_is_stored(dtype: str) -> None:
    stored = compress(variables(), dtype)
    foretold = stored_shapes(jax.eval_shape(variables), dtype)
    assert {path: (leaf.shape, leaf.dtype) for path, leaf in foretold.items()} == {
        path: (array.shape, array.dtype) for path, array in stored.items()
    }


def test_a_model_without_statistics_gets_an_empty_collection() -> None:
    assert (
        expand(compress({"params": {"head": {"kernel": np.ones((2, 3), np.float32)}}}, "float32"))["batch_stats"] == {}
    )


def test_weights_beyond_float16_and_weights_that_are_no_numbers_are_named() -> None:
    given = variables()
    given["params"]["linear"]["kernel"][0, 0] = 1e5
    with pytest.raises(UserError, match=r"too large for float16: params/linear/kernel\. Store them as bfloat16"):
        compress(given, "float16")
    compress(given, "bfloat16")
    given["params"]["linear"]["kernel"][0, 0] = np.nan
    for dtype in DTYPES:
        with pytest.raises(UserError, match="NaN or infinite: params/linear/kernel"):
            compress(given, dtype)
