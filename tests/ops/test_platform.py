"""Operators choose their implementation for the platform that a program is made for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import AbstractDevice, AbstractMesh, PartitionSpec

from motion_vit.ops import cost_volume, depthwise_conv3d, global_attention, platform
from motion_vit.ops.platform import known_platform, likely_platform, target_platform


@pytest.fixture
def forgotten():
    """Nothing is left of operators that were traced on another machine."""
    # What else was compiled is of use to later tests.
    platform._apply.clear_cache()
    yield
    platform._apply.clear_cache()


@pytest.fixture
def gpu_beside_cpu(monkeypatch, forgotten):
    """What operators see of a machine with a GPU; the programs are compiled for this machine's CPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def jit_anew(function):
    """Compiles a function for the machine as it is now: of the function itself, JAX keeps what it has traced."""
    return jax.jit(lambda *arrays: function(*arrays))


@pytest.fixture
def tpu_mesh():
    return AbstractMesh((1,), ("data",), abstract_device=AbstractDevice("TPU v5e", 1, "tpu"))


def test_without_an_accelerator_it_is_the_cpu():
    assert known_platform() == "cpu"


@pytest.mark.slow
@pytest.mark.usefixtures("gpu_beside_cpu")
def test_beside_an_accelerator_it_is_not_known_but_guessed():
    assert known_platform() is None
    assert likely_platform() == "gpu"


@pytest.mark.usefixtures("gpu_beside_cpu")
def test_it_is_that_of_the_mesh():
    with jax.set_mesh(jax.make_mesh((2,), ("data",))):
        assert known_platform() == "cpu"
        assert jax.jit(lambda x: x if likely_platform() == "cpu" else -x)(1) == 1


@pytest.mark.usefixtures("gpu_beside_cpu")
def test_it_is_that_of_the_mesh_where_each_device_computes_by_itself():
    mesh = jax.make_mesh((2,), ("data",))
    seen = []

    def note(x):
        seen.append(known_platform())
        return x

    whole = PartitionSpec()
    jax.eval_shape(jax.shard_map(note, mesh=mesh, in_specs=whole, out_specs=whole), jnp.zeros(4))
    assert seen == ["cpu"]


def test_a_mesh_without_devices_says_nothing():
    with jax.sharding.use_abstract_mesh(AbstractMesh((1,), ("data",))):
        assert known_platform() == "cpu"


def test_the_innermost_target_counts_also_in_a_mesh(tpu_mesh):
    with jax.sharding.use_abstract_mesh(tpu_mesh), target_platform("portable"):
        with target_platform("gpu"):
            assert known_platform() == "gpu"
        assert known_platform() == "portable"


def test_a_target_ends_also_by_an_error(tpu_mesh):
    with jax.sharding.use_abstract_mesh(tpu_mesh):
        with pytest.raises(RuntimeError, match="stop"), target_platform("gpu"):
            raise RuntimeError("stop")
        assert known_platform() == "tpu"


def test_operators_choose_for_the_target():
    x, kernel = jnp.zeros((1, 2, 4, 4, 3)), jnp.zeros((3, 3, 3, 3))

    def program(target):
        with target_platform(target):
            return jax.jit(lambda x, kernel: depthwise_conv3d.depthwise_conv3d(x, kernel)).lower(x, kernel).as_text()

    assert "stablehlo.convolution" in program("gpu")
    assert "stablehlo.convolution" not in program("cpu")


@pytest.mark.mistyped
def test_an_unknown_platform_is_named():
    with (
        pytest.raises(ValueError, match="must be one of cpu, gpu, tpu, portable, any, onnx, litert"),
        target_platform("TPU"),
    ):
        pass


def test_a_program_for_any_platform_holds_what_each_computes_best():
    x, kernel = jnp.ones((1, 2, 4, 4, 3)), jnp.ones((3, 3, 3, 3))
    with target_platform("any"):
        function = jax.jit(lambda x, kernel: depthwise_conv3d.depthwise_conv3d(x, kernel))
        exported = export.export(function, platforms=("cpu", "cuda", "tpu"))(x, kernel)
    assert "stablehlo.convolution" in exported.mlir_module()
    # Here the form for CPU runs: the same numbers, and none of the convolution.
    assert "convolution" not in jax.jit(exported.call).lower(x, kernel).compile().as_text()
    np.testing.assert_array_equal(exported.call(x, kernel), depthwise_conv3d.depthwise_conv3d(x, kernel))


def attend(x, **implementations):
    local = cost_volume.cost_volume_attention(x, x, x, window=3, implementation=implementations.get("local"))
    tokens = local.reshape(x.shape[0], -1, *x.shape[4:])
    return global_attention.global_attention(tokens, tokens, tokens, implementation=implementations.get("all"))


def test_a_program_for_any_platform_takes_a_symbolic_batch():
    batch = export.symbolic_shape("b")[0]
    with target_platform("any"):
        exported = export.export(jax.jit(attend), platforms=("cpu", "cuda", "tpu"))(
            jax.ShapeDtypeStruct((batch, 3, 4, 4, 2, 8), jnp.float32)
        )
    x = np.random.default_rng(0).standard_normal((5, 3, 4, 4, 2, 8), np.float32)
    expected = jax.jit(functools.partial(attend, local="xla_window", all="xla"))(x)
    np.testing.assert_allclose(jax.jit(exported.call)(x), expected, rtol=1e-5, atol=1e-5)


def network(x, kernel):
    """All operators that are chosen in the program: what differs between the platforms differs in it."""
    x = depthwise_conv3d.depthwise_conv3d(x, kernel)
    return attend(x.reshape(*x.shape[:4], 2, -1)).reshape(x.shape)


def loss(x, kernel):
    return jnp.square(network(x, kernel)).sum()


def loss_of_many_layers(x, kernel):
    def layer(x, _):
        return jax.checkpoint(network)(x, kernel), None

    return jnp.square(lax.scan(layer, x, length=3)[0]).sum()


TRANSFORMED = {
    "forward": network,
    "gradient": jax.grad(loss, (0, 1)),
    "of each clip": jax.vmap(lambda clip, kernel: jax.grad(loss)(clip[None], kernel), (0, None)),
    "scanned and rematerialised": jax.grad(loss_of_many_layers, (0, 1)),
}


@pytest.mark.usefixtures("forgotten")
@pytest.mark.fast_cases("gradient")
@pytest.mark.parametrize("name", TRANSFORMED)
def test_what_is_chosen_in_the_program_is_what_would_be_chosen_before(name, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2, 4, 4, 8), np.float32)
    kernel = rng.standard_normal((3, 3, 3, 8), np.float32) / 3

    known = jit_anew(TRANSFORMED[name]).lower(x, kernel).compile()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    platform._apply.clear_cache()
    chosen = jit_anew(TRANSFORMED[name]).lower(x, kernel).compile()
    assert chosen.cost_analysis()["flops"] == known.cost_analysis()["flops"]
    assert "conditional" not in chosen.as_text()
    for ours, theirs in zip(*(jax.tree.leaves(program(x, kernel)) for program in (chosen, known)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.fast_cases("bfloat16-*-gpu", "float32-tpu-cpu")
@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("machine", ["cpu", "gpu"])
@pytest.mark.parametrize("lowered_for", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_operators_and_their_gradients_are_lowered_for_a_platform_that_is_not_here(
    dtype, lowered_for, machine, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: machine)
    # Its form of cuDNN is traced on machines with a GPU alone; which form a platform gets is told by the next tests.
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda query, key, value, **_: query)
    x, kernel = jnp.zeros((1, 2, 4, 4, 8), dtype), jnp.zeros((3, 3, 3, 8), dtype)
    lowered = jit_anew(TRANSFORMED["gradient"]).trace(x, kernel).lower(lowering_platforms=(lowered_for,))
    assert "func.func public @main" in lowered.as_text()


def test_layers_of_equal_shapes_are_traced_once_and_again_for_another_target(monkeypatch):
    traced = []
    forms = dict(depthwise_conv3d._IMPLEMENTATIONS)
    for name, form in forms.items():
        forms[name] = lambda *given, name=name, form=form: (traced.append(name), form(*given))[1]
    monkeypatch.setattr(depthwise_conv3d, "_IMPLEMENTATIONS", forms)
    x, kernel = jnp.zeros((1, 2, 4, 6, 3)), jnp.zeros((3, 3, 3, 3))

    def layers(x, kernel):
        for _ in range(4):
            x = depthwise_conv3d.depthwise_conv3d(x, kernel)
        return x

    jax.eval_shape(lambda *arrays: layers(*arrays), x, kernel)
    assert traced == ["shifted"]
    with target_platform("gpu"):
        jax.eval_shape(lambda *arrays: layers(*arrays), x, kernel)
    assert traced == ["shifted", "xla_conv"]


@pytest.mark.usefixtures("gpu_beside_cpu")
@pytest.mark.parametrize(("exported_for", "convolutions"), [("cpu", 0), ("cuda", 1)])
def test_an_exported_function_holds_what_its_platform_computes_best(exported_for, convolutions):
    x, kernel = jnp.zeros((1, 2, 4, 4, 3)), jnp.zeros((3, 3, 3, 3))
    function = jax.jit(lambda x, kernel: depthwise_conv3d.depthwise_conv3d(x, kernel))
    program = export.export(function, platforms=[exported_for])(x, kernel).mlir_module()
    assert program.count("stablehlo.convolution") == convolutions


def attention_of_cudnn(query, key, value, *, implementation):
    """Stands in for JAX's attention, whose form of cuDNN cannot be traced without a GPU: no platform here has it."""
    assert implementation == "cudnn"
    return jax.ffi.ffi_call("cudnn_attention", jax.ShapeDtypeStruct(query.shape, query.dtype))(query, key, value)


@pytest.mark.usefixtures("gpu_beside_cpu")
@pytest.mark.parametrize("compiled", [True, False])
def test_attention_in_half_precision_runs_on_the_cpu_of_a_machine_with_a_gpu(compiled, monkeypatch):
    monkeypatch.setattr(jax.nn, "dot_product_attention", attention_of_cudnn)
    x = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 2, 8)).astype(jnp.bfloat16))
    attend = jit_anew(global_attention.global_attention) if compiled else global_attention.global_attention
    expected = global_attention.global_attention(x, x, x, implementation="stacked")
    np.testing.assert_array_equal(attend(x, x, x), expected)


@pytest.mark.usefixtures("gpu_beside_cpu")
def test_attention_in_half_precision_is_that_of_cudnn_in_a_program_for_gpus(monkeypatch):
    monkeypatch.setattr(jax.nn, "dot_product_attention", attention_of_cudnn)
    x = jnp.zeros((2, 4, 2, 8), jnp.bfloat16)
    allowed = [export.DisabledSafetyCheck.custom_call("cudnn_attention")]
    export_attention = functools.partial(export.export, disabled_checks=allowed)
    function = jit_anew(global_attention.global_attention)
    assert "cudnn_attention" in export_attention(function, platforms=["cuda"])(x, x, x).mlir_module()
    assert "cudnn_attention" not in export_attention(function, platforms=["cpu"])(x, x, x).mlir_module()


@pytest.mark.usefixtures("gpu_beside_cpu")
@pytest.mark.parametrize("shape", [(2, 197, 2, 8), (2, 4, 2, 12), (2, 4, 2, 136)])
def test_what_cudnn_does_not_take_is_computed_without_it_on_gpus(shape):
    x = jnp.zeros(shape, jnp.bfloat16)
    exported = export.export(jit_anew(global_attention.global_attention), platforms=["cuda"])(x, x, x)
    assert "custom_call" not in exported.mlir_module()


@pytest.mark.usefixtures("gpu_beside_cpu")
def test_a_program_for_any_platform_depends_on_no_vendor():
    x = jnp.zeros((2, 4, 2, 8), jnp.bfloat16)
    with target_platform("any"):
        exported = export.export(jit_anew(global_attention.global_attention), platforms=("cpu", "cuda", "tpu"))(x, x, x)
    assert "custom_call" not in exported.mlir_module()


def test_in_a_mesh_of_tpus_operators_choose_for_these(tpu_mesh):
    x, kernel = jnp.zeros((1, 2, 4, 4, 3)), jnp.zeros((3, 3, 3, 3))
    gradient = jax.grad(lambda kernel: depthwise_conv3d.depthwise_conv3d(x, kernel).sum())
    assert "conv_general_dilated" not in str(jax.make_jaxpr(gradient)(kernel))
    with jax.sharding.use_abstract_mesh(tpu_mesh):
        assert "conv_general_dilated" in str(jax.make_jaxpr(gradient)(kernel))
