"""The layer of queries, keys and values: which of them have biases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.modules.query_key_value import Biases, QueryKeyValue

TOKENS = jax.random.normal(jax.random.key(0), (5, 4))


@pytest.mark.parametrize(
    ("biases", "names", "moved"),
    [
        ("all", {"bias"}, [True, True, True]),
        ("query_value", {"query_bias", "value_bias"}, [True, False, True]),
        ("none", set(), [False, False, False]),
    ],
)
def test_biases_move_those_that_they_are_named_after(biases: Biases, names: set[str], moved: list[bool]) -> None:
    layer = QueryKeyValue(biases)
    params = layer.init(jax.random.key(1), TOKENS)["params"]
    assert params.keys() - {"kernel"} == names
    raised = {name: value if name == "kernel" else value + 1 for name, value in params.items()}
    change = layer.apply({"params": raised}, TOKENS) - layer.apply({"params": params}, TOKENS)
    expected = jnp.repeat(jnp.asarray(moved, jnp.float32), 4)
    np.testing.assert_allclose(change, jnp.broadcast_to(expected, change.shape), atol=1e-6)
