"""M2A and the modules it is compared with, against the authors' code: the output and every gradient."""

import functools

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from motion_vit.interop.families.motion_modules import motion_module_rules
from motion_vit.interop.families.name_rules import Scope, torch_entry
from motion_vit.modules.motion_module import make_motion_module

AUTHORS_NAMES = {
    "m2a": "motion+attn",
    "attention": "attn",
    "motion": "motion",
    "tea": "tea",
    "tdn": "tdn",
    "tam": "tam",
    "patch_attention": "patch_mattn",
    "motion+tam": "motion+tam",
    "tdn+tam": "tdn+tam",
    "tea+attention": "tea+attn",
}


@functools.cache
def m2a_golden():
    return goldens.load("m2a")


@pytest.mark.fast_cases("m2a", "tea", "tdn", "tam", "patch_attention")
@pytest.mark.parametrize("kind", AUTHORS_NAMES)
def test_output_and_every_gradient_are_those_of_the_authors(kind):
    prefix = f"{AUTHORS_NAMES[kind]}/"
    golden = {name.removeprefix(prefix): value for name, value in m2a_golden().items() if name.startswith(prefix)}
    module = make_motion_module(kind)
    x, cotangent = (golden[name] for name in ("x", "cotangent"))
    shapes = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), x)
    shapes = traverse_util.flatten_dict(shapes, sep="/")
    entries = {path: torch_entry(motion_module_rules(kind, Scope()), path) for path in shapes}
    values = {}
    for path, entry in entries.items():
        weight = goldens.weight(entry.name, entry.layout.torch_shape(shapes[path].shape))
        values[path] = entry.layout.to_flax(weight)
    variables = traverse_util.unflatten_dict(values, sep="/")

    def loss(params, x):
        y = module.apply({**variables, "params": params}, x, train=False)
        return jnp.sum(y * cotangent), y

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    (params_gradient, x_gradient), y = gradients(variables["params"], x)

    goldens.assert_matches(golden, "y", y, rtol=1e-4, atol=1e-4)
    goldens.assert_gradient_matches(golden, "grad/x", x_gradient)
    compared = {"grad/x"}
    for path, gradient in traverse_util.flatten_dict({"params": params_gradient}, sep="/").items():
        name = f"grad/{entries[path].name}"
        goldens.assert_gradient_matches(golden, name, entries[path].layout.to_torch(np.asarray(gradient)))
        compared.add(name)
    assert compared == {name for name in golden if name.startswith("grad/") and not name.endswith(":norm")}
