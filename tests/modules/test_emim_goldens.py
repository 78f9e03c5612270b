"""The EMIM layer against the authors' code: the output and every gradient."""

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.modules.emim import Emim

LINEARS = {"qkv": ("qkv",), "proj": ("proj",), "motion_conv.0": ("motion", "fc1"), "motion_conv.2": ("motion", "fc2")}


def parameters(window: int) -> dict[str, np.ndarray]:
    """The weights of the goldens: 2 heads of 64 channels."""
    displacements, hidden = window**2, 4 * window**2
    sizes = {
        "qkv": (384, 128),
        "proj": (128, 128),
        "motion_conv.0": (hidden, displacements),
        "motion_conv.2": (64, hidden),
    }
    named = {"rpb": goldens.weight("rpb", (2, window, window))}
    for name, shape in sizes.items():
        named[f"{name}.weight"] = goldens.weight(f"{name}.weight", shape)
        named[f"{name}.bias"] = goldens.weight(f"{name}.bias", shape[:1])
    return named


def to_flax(named: dict[str, np.ndarray]) -> dict:
    tree: dict = {"rpb": named["rpb"], "motion": {}}
    for name, path in LINEARS.items():
        parent = tree["motion"] if len(path) == 2 else tree
        parent[path[-1]] = {
            "kernel": named[f"{name}.weight"].T,
            "bias": named[f"{name}.bias"],
        }
    return tree


def to_torch(tree: dict) -> dict[str, np.ndarray]:
    named = {"rpb": np.asarray(tree["rpb"])}
    for name, path in LINEARS.items():
        layer = tree["motion"][path[1]] if len(path) == 2 else tree[path[0]]
        named[f"{name}.weight"] = np.asarray(layer["kernel"]).T
        named[f"{name}.bias"] = np.asarray(layer["bias"])
    return named


CASES = [
    (name, window, implementation)
    for name, window in (("emim_t16_k5", 5), ("emim_t16_k7", 7), ("emim_t32_k7", 7))
    for implementation in ("xla_window", "xla_dense", "xla_take", "xla_strip")
]
CASES.append(("emim_t16_k5", 5, "pallas"))  # interpreted, which takes long to compile


@pytest.mark.fast_cases("emim_t16_k5-5-xla_*")
@pytest.mark.parametrize(("name", "window", "implementation"), CASES)
def test_output_and_every_gradient_are_those_of_the_authors(name, window, implementation):
    golden = goldens.load(name)
    layer = Emim(heads=2, window=window, implementation=implementation)
    cotangent = golden["cotangent"]

    def loss(params, x):
        y = layer.apply({"params": params}, x, train=True)
        return jnp.sum(y * cotangent), y

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    (params_gradient, x_gradient), y = gradients(to_flax(parameters(window)), golden["x"])

    goldens.assert_matches(golden, "y", y, rtol=1e-4, atol=1e-4)
    goldens.assert_gradient_matches(golden, "grad/x", x_gradient)
    for parameter, gradient in to_torch(params_gradient).items():
        goldens.assert_gradient_matches(golden, f"grad/{parameter}", gradient)
    assert {key for key in golden if key.startswith("grad/") and not key.endswith(":norm")} == {
        "grad/x",
        *(f"grad/{parameter}" for parameter in parameters(window)),
    }
