import functools

import jax
import numpy as np
import torch
from flax import traverse_util
from torch.nn.functional import batch_norm, conv2d

import motion_vit
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.resnet import resnet_rules
from motion_vit.modules.residual_block import ResidualBlock

RNG = np.random.default_rng(0)


def bottleneck(x, named):
    """The second stage's first bottleneck, as torchvision's `Bottleneck` computes it, by the names of its weights."""
    named = {name.removeprefix("layer2.0."): torch.tensor(value) for name, value in named.items()}

    def layer(x, conv, norm, stride=1):
        kernel = named[f"{conv}.weight"]
        x = conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        statistics = [named[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(x, *statistics)

    y = torch.relu(layer(x, "conv1", "bn1"))
    y = torch.relu(layer(y, "conv2", "bn2", stride=2))
    return torch.relu(layer(y, "conv3", "bn3") + layer(x, "downsample.0", "downsample.1", stride=2))


def test_a_bottleneck_is_that_of_torchvision():
    block = ResidualBlock(4, stride=2, bottleneck=True)
    x = np.asarray(RNG.standard_normal((2, 3, 5, 6, 8)), np.float32)
    shapes = traverse_util.flatten_dict(
        jax.eval_shape(functools.partial(block.init, train=False), jax.random.key(0), x), sep="/"
    )
    values = {path: RNG.uniform(0.1, 1, leaf.shape).astype(np.float32) for path, leaf in shapes.items()}
    rules = resnet_rules(motion_vit.create_model("resnet50_tsn"))
    entries = {path: torch_entry(rules, path.replace("/", "/stage2/block0/", 1)) for path in values}
    named = {entries[path].name: entries[path].layout.to_torch(value) for path, value in values.items()}
    frames = torch.tensor(np.moveaxis(x, -1, 2).reshape(6, 8, 5, 6))
    expected = np.moveaxis(bottleneck(frames, named).numpy(), 1, -1)
    y = jax.jit(functools.partial(block.apply, train=False))(traverse_util.unflatten_dict(values, sep="/"), x)
    np.testing.assert_allclose(y, expected.reshape(y.shape), rtol=1e-5)
