"""ONNX: onnxruntime gives JAX's logits for any batch, from a graph whose weights have their names."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from exported import emim_model
from flax import linen as nn
from jax import export, lax
from small_trained_model import small_trained_model

from motion_vit.errors import UserError
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.onnx_builder import OnnxBuilder
from motion_vit.interop.exporting.onnx_graph import export_onnx
from motion_vit.interop.exporting.onnx_operators import apply_rules
from motion_vit.interop.exporting.verification import verify
from motion_vit.training.checkpoints.weight_dtypes import compress, expand


@pytest.fixture(scope="module")
def trained():
    return emim_model(depths=(1, 1, 2, 1))


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """The graph alone, because what else an export holds is traced and compiled anew."""
    path = tmp_path_factory.mktemp("onnx")
    export_onnx(trained, path, batch=None, dtype="float32")
    return path


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_logits(trained, tmp_path):
    export_model(trained, "onnx", tmp_path / "export")
    verification = verify(tmp_path / "export")
    assert verification.agrees
    assert verification.max_difference < 1e-5
    assert verification.runtime == f"onnxruntime {onnxruntime.__version__}"


def test_the_batch_is_symbolic(folder, trained):
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 4, 32, 32, 3]
    assert session.get_outputs()[0].shape == ["batch", 10]
    clips = np.random.default_rng(1).standard_normal((3, 4, 32, 32, 3), dtype=np.float32)
    expected = np.asarray(jax.jit(trained.model.apply)(trained.variables, clips))
    (together,) = session.run(None, {"clips": clips})
    np.testing.assert_allclose(together, expected, atol=1e-5)
    (alone,) = session.run(None, {"clips": clips[1:2]})
    np.testing.assert_allclose(alone, expected[1:2], atol=1e-5)


@pytest.mark.slow
def test_the_original_uniformer_whose_stem_halves_the_frames_takes_any_batch(tmp_path):
    original = small_trained_model(name="uniformer_tiny", stem_temporal_stride=2)
    export_model(original, "onnx", tmp_path / "export")
    session = onnxruntime.InferenceSession(tmp_path / "export" / "model.onnx", providers=["CPUExecutionProvider"])
    clips = np.random.default_rng(2).standard_normal((3, 4, 32, 32, 3), dtype=np.float32)
    (logits,) = session.run(None, {"clips": clips})
    np.testing.assert_allclose(logits, jax.jit(original.model.apply)(original.variables, clips), atol=1e-5)


def test_depthwise_convolutions_are_single_nodes_of_three_dimensions(folder, trained):
    graph = onnx.load(folder / "model.onnx").graph
    groups = [
        next(attribute.i for attribute in node.attribute if attribute.name == "group")
        for node in graph.node
        if node.op_type == "Conv"
    ]
    # Two in each block of stages 1 and 2, one in each of stages 3 and 4.
    assert groups == [32, 32, 64, 64, 96, 96, 128]


def test_weights_keep_their_paths_and_metadata_say_the_rest(folder, trained):
    model = onnx.load(folder / "model.onnx")
    assert set(compress(trained.variables, "float32")) <= {tensor.name for tensor in model.graph.initializer}
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["label_names"] == list(trained.label_names)
    assert metadata["preprocessing"]["frames"] == 4
    assert metadata["preprocessing"]["mean"] == list(trained.config.data.mean)


@pytest.fixture(scope="module")
def wide():
    """A network of few operations and many weights."""
    return small_trained_model()


@pytest.fixture(scope="module")
def bytes_in_float32(wide, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        export_onnx(wide, folder, batch=3, dtype="float32")
    return (folder / "model.onnx").stat().st_size


@pytest.mark.fast_cases("float16-*")
@pytest.mark.parametrize(("dtype", "share"), [("bfloat16", 0.65), ("float16", 0.65), ("int8-weights", 0.5)])
def test_small_weights_make_a_small_file_and_are_widened_when_loaded(wide, bytes_in_float32, tmp_path, dtype, share):
    clips = np.random.default_rng(1).standard_normal((3, 4, 32, 32, 3), dtype=np.float32)
    with jax.numpy_dtype_promotion("standard"):
        export_onnx(wide, tmp_path, batch=3, dtype=dtype)
        expected = jax.jit(wide.model.apply)(expand(compress(wide.variables, dtype)), clips)
    assert (tmp_path / "model.onnx").stat().st_size < share * bytes_in_float32
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"clips": clips})[0], expected, atol=1e-5)


def converted(function, *arrays):
    """What onnxruntime makes of a function of arrays that share a symbolic batch."""
    batch = export.symbolic_shape("b")[0]
    shapes = [jax.ShapeDtypeStruct((batch, *array.shape[1:]), array.dtype) for array in arrays]
    program = jax.make_jaxpr(function)(*shapes)
    builder = OnnxBuilder("x0")
    names = [f"x{number}" for number in range(len(arrays))]
    (output,) = apply_rules(builder, program.jaxpr, [np.asarray(array) for array in program.consts], names)
    builder.output(output, "y")
    inputs = {name: ["b", *array.shape[1:]] for name, array in zip(names, arrays, strict=True)}
    rank = program.out_avals[0].ndim
    model = builder.model(inputs, {"y": [f"y{axis}" for axis in range(rank)]}, {})
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


X = np.random.default_rng(0).standard_normal((3, 5, 4), dtype=np.float32)
Y = np.random.default_rng(1).standard_normal((3, 5, 4), dtype=np.float32)
KERNEL = np.random.default_rng(2).standard_normal((3, 1, 4), dtype=np.float32)

FUNCTIONS = {
    "a transpose of all axes": (lambda x: x.transpose(2, 0, 1), X),
    "two axes that become one": (lambda x: x.reshape(x.shape[0], 20), X),
    "the batch joined with another axis": (lambda x: x.reshape(-1, 4) * 2.0, X),
    "a slice with steps": (lambda x: lax.slice_in_dim(x, 1, 5, 2, axis=1), X),
    "two axes in reverse": (lambda x: jnp.flip(x, axis=(1, 2)) * 2.0, X),
    "indices": (lambda x: x[:, 1, 2:], X),
    "a pad and a cut at once": (lambda x: lax.pad(x, np.float32(7), [(0, 0, 0), (2, -1, 0), (-1, 3, 0)]), X),
    "a scalar for every clip": (lambda x: jnp.broadcast_to(jnp.float32(3), (x.shape[0], 2)) + x[:, 0, :2], X),
    "an axis repeated": (lambda x: jnp.broadcast_to(x[:, :1], (x.shape[0], 6, 4)), X),
    "selection by a comparison": (lambda x, y: jnp.where(x > y, x, 0.0), X, Y),
    "a softmax": (lambda x: jax.nn.softmax(x, axis=-1), X),
    "GELU": (lambda x: jax.nn.gelu(x, approximate=False), X),
    "a reciprocal root": (lambda x: lax.rsqrt(jnp.square(x) + 1e-6), X),
    "a product over one axis of a batch": (lambda x, y: jnp.einsum("bij,bkj->bik", x, y), X, Y),
    "a product over two axes": (lambda x, y: jnp.einsum("bij,bij->b", x, y), X, Y),
    "a product with free axes on both sides": (
        lambda x, y: jnp.einsum("bmnj,bpqj->bmnpq", x.reshape(-1, 1, 5, 4), y.reshape(-1, 5, 1, 4)),
        X,
        Y,
    ),
    "a product with a constant": (lambda x: jnp.einsum("bij,jk->bki", x, np.ones((4, 2), np.float32)), X),
    "a grouped convolution": (
        lambda x: lax.conv_general_dilated(
            x, jnp.asarray(KERNEL), (1,), [(2, 1)], dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=4
        ),
        X,
    ),
    "a strided convolution": (
        lambda x: lax.conv_general_dilated(
            x, jnp.asarray(KERNEL.reshape(1, 4, 3)), (2,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        ),
        X,
    ),
    "the largest of windows that overlap": (
        lambda x: lax.reduce_window(
            x[..., None], -jnp.inf, lax.max, (1, 3, 2, 1), (1, 2, 1, 1), [(0, 0), (1, 1), (0, 1), (0, 0)]
        ),
        X,
    ),
    "the rows of all clips repeated": (
        lambda x: jnp.broadcast_to(x.reshape(-1, 1, 4), (5 * x.shape[0], 3, 4)),
        X,
    ),
    "a number computed beforehand": (lambda x: x * jnp.sqrt(jnp.arange(4, dtype=jnp.float32)).reshape(1, 1, 4), X),
    "an average": (lambda x: jnp.mean(x, axis=(1, 2)), X),
}


@pytest.fixture(scope="module")
def computed():
    """What JAX makes of the functions, in one program for all of them."""
    return jax.jit(lambda: {name: function(*arrays) for name, (function, *arrays) in FUNCTIONS.items()})()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_rule_computes_what_jax_computes(computed, name):
    function, *arrays = FUNCTIONS[name]
    np.testing.assert_allclose(converted(function, *arrays), computed[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: jnp.sort(x, axis=-1), "sort"),
        (lambda x: lax.scan(lambda total, row: (total + row, None), x[:, 0], x.swapaxes(0, 1))[0], "scan"),
        (lambda x: x[:, :, jnp.abs(x[0, 0, :2]).astype(jnp.int32)], "dim_as_value"),
        (lambda x: lax.pad(x, np.float32(0), [(0, 0, 0), (0, 0, 1), (0, 0, 0)]), "pad between elements"),
        (
            lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2), (1, 1, 1), "VALID"),
            "reduce_window_max over nearly all axes",
        ),
        (lambda x: jnp.broadcast_to(x[:1, 0, 0], (5 * x.shape[0] + 1,)), "an axis of 5"),
    ],
)
def test_an_operation_without_a_rule_is_named(function, name):
    with pytest.raises(UserError, match=f"cannot be exported to ONNX: {name}"):
        converted(function, X)


ACTIVATIONS = (
    *("celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax", "softplus", "standardize", "tanh"),
)


@pytest.fixture(scope="module")
def activated():
    """What JAX makes of the activations, in one program for all of them."""
    return jax.jit(lambda x: {name: getattr(nn, name)(x) for name in ACTIVATIONS})(3 * X)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_flax_are_exported(activated, activation):
    found = converted(getattr(nn, activation), 3 * X)
    np.testing.assert_allclose(found, activated[activation], rtol=1e-5, atol=1e-5)


LAYERS = {
    "average pooling": lambda: lambda x: nn.avg_pool(x, (2, 2), (2, 2)),
    "padded average pooling": lambda: lambda x: nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False),
    "batch norm": lambda: nn.BatchNorm(use_running_average=True),
    "group norm": lambda: nn.GroupNorm(2),
    "instance norm": nn.InstanceNorm,
    "layer norm": nn.LayerNorm,
    "rms norm": nn.RMSNorm,
    "attention": lambda: nn.MultiHeadDotProductAttention(2),
    "dense over two axes": lambda: nn.DenseGeneral(3, axis=(-2, -1)),
    "depthwise convolution": lambda: nn.Conv(8, (3, 3), feature_group_count=4),
    "prelu": nn.PReLU,
    "powers": lambda: lambda x: x**3 + x**2 + 1 / (1 + x**4) + x**0 + (1 + x**2) ** -2,
    "sums so far": lambda: lambda x: jnp.cumsum(x, axis=1) + jax.lax.cumsum(x, axis=2, reverse=True),
}


def drawn(shapes):
    """Variables of such shapes, none of which is below 0, as variances are."""
    rng = np.random.default_rng(4)
    return jax.tree.map(lambda leaf: rng.random(leaf.shape, leaf.dtype), shapes)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_flax_are_exported(name):
    x = np.random.default_rng(3).standard_normal((3, 6, 6, 4), dtype=np.float32)
    layer = LAYERS[name]()
    if isinstance(layer, nn.Module):
        layer = functools.partial(layer.apply, drawn(jax.eval_shape(layer.init, jax.random.key(0), x)))
    with jax.numpy_dtype_promotion("standard"):  # as in use
        np.testing.assert_allclose(converted(layer, x), jax.jit(layer)(x), rtol=1e-4, atol=1e-5)


def test_an_operation_without_a_rule_is_named_with_its_layer_and_a_way_out():
    class Sorting(nn.Module):
        def __call__(self, x):
            return jnp.sort(x, axis=-1)

    with pytest.raises(UserError, match=r"cannot be exported to ONNX: sort in .*Sorting.*The formats stablehlo"):
        converted(lambda x: Sorting().apply({}, x), X)
