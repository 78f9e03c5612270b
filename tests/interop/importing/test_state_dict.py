"""The PyTorch importer: what it takes, what it says, and that nothing in a file is executed."""

import os
import pickle

import chex
import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.importing.state_dict import CheckpointImportError, load_torch
from motion_vit.models.video_model import Backbone

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file


@pytest.fixture(scope="module")
def model():
    return motion_vit.create_model("uniformer_emim_tiny")


@pytest.fixture(scope="module")
def golden():
    return goldens.state_dict("uniformer_emim_tiny")


@pytest.fixture
def weights(golden):
    """The weights, of which a test may change entries."""
    return dict(golden)


@pytest.fixture(scope="module")
def reference(model, golden):
    variables, _ = load_torch(model, golden)
    return variables


def as_tensors(weights):
    return {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}


def assert_trees_equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    chex.assert_trees_all_equal(actual, expected)


def test_variables_are_structured_as_those_of_init(model, reference):
    clips = jax.ShapeDtypeStruct((1, 16, 64, 64, 3), jnp.float32)
    expected = jax.eval_shape(model.init, jax.random.key(0), clips)
    found = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), reference)
    assert found == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), expected)


def test_every_layout_puts_each_entry_where_the_convolution_or_linear_layer_reads_it(reference, weights):
    params = reference["params"]
    stem, linear = weights["patch_embed1.proj.weight"], weights["blocks3.0.attn.qkv.weight"]
    pointwise, depthwise = weights["blocks1.0.mlp.fc1.weight"], weights["blocks2.0.attn.weight"]
    assert params["patch_embed1"]["proj"]["kernel"][2, 1, 3, 0, 5] == stem[5, 0, 2, 1, 3]
    assert params["stage3"]["block0"]["attention"]["qkv"]["kernel"][7, 200] == linear[200, 7]
    assert params["stage1"]["block0"]["mlp"]["fc1"]["kernel"][3, 99] == pointwise[99, 3, 0, 0, 0]
    assert params["stage2"]["block0"]["depthwise"]["kernel"][4, 0, 2, 63] == depthwise[63, 0, 4, 0, 2]


@pytest.mark.parametrize("wrapper", ["model_state", "model", "state_dict", None])
@pytest.mark.parametrize("suffix", ["pyth", "pth", "pt"])
def test_a_torch_checkpoint_loads_whatever_its_weights_lie_under(model, reference, weights, tmp_path, wrapper, suffix):
    path = tmp_path / f"weights.{suffix}"
    tensors = as_tensors(weights)
    torch.save({wrapper: tensors, "epoch": 3, "cfg": "TRAIN: ..."} if wrapper else tensors, path)
    variables, report = load_torch(model, path)
    assert report.complete
    assert len(report.loaded) == len(jax.tree.leaves(reference))
    assert_trees_equal(variables, reference)


def test_safetensors_and_npz_load_as_the_mapping_does(model, reference, weights, tmp_path):
    save_file(as_tensors(weights), tmp_path / "weights.safetensors")
    np.savez(tmp_path / "weights.npz", **weights)
    for name in ("weights.safetensors", "weights.npz"):
        variables, _ = load_torch(model, str(tmp_path / name))
        assert_trees_equal(variables, reference)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_wrapped_models_lose_their_prefix(model, reference, weights, prefix):
    variables, _ = load_torch(model, {prefix + name: value for name, value in as_tensors(weights).items()})
    assert_trees_equal(variables, reference)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(model, reference, weights, tmp_path, dtype):
    narrow = {name: value.to(getattr(torch, dtype)) for name, value in as_tensors(weights).items()}
    save_file(narrow, tmp_path / "weights.safetensors")
    for source in (narrow, tmp_path / "weights.safetensors"):
        variables, _ = load_torch(model, source)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        chex.assert_trees_all_close(variables, reference, rtol=1e-2, atol=1e-5)


def test_step_counters_are_ignored_and_reported(model, weights):
    _, report = load_torch(model, weights)
    assert report.ignored == tuple(name for name in weights if name.endswith("num_batches_tracked"))
    assert report.complete


def test_strict_loading_lists_every_name_that_does_not_fit(model, weights):
    del weights["blocks3.0.attn.rpb"], weights["norm.running_var"]
    weights["blocks9.0.attn.rpb"] = np.zeros((3, 7, 7), np.float32)
    weights["head.weight"] = np.zeros((174, 128), np.float32)
    with pytest.raises(CheckpointImportError) as caught:
        load_torch(model, weights)
    report = caught.value.report
    assert report.missing == {"blocks3.0.attn.rpb": (3, 7, 7), "norm.running_var": (128,)}
    assert report.unexpected == {"blocks9.0.attn.rpb": (3, 7, 7)}
    assert report.misshapen == {"head.weight": ((174, 128), (10, 128))}
    message = str(caught.value)
    for name in (*report.missing, *report.unexpected, *report.misshapen, "(174, 128)", "strict=False"):
        assert name in message
    assert isinstance(caught.value, motion_vit.UserError)


@pytest.mark.slow
def test_loading_that_is_not_strict_keeps_initial_values_and_says_which(model, reference, weights):
    image_model = {name: value for name, value in weights.items() if "rpb" not in name and "motion_conv" not in name}
    image_model["head.weight"] = np.zeros((174, 128), np.float32)
    variables, report = load_torch(model, image_model, strict=False, rng=jax.random.key(5))
    attention = variables["params"]["stage3"]["block0"]["attention"]

    @jax.jit
    def initial_attention(key):
        return model.init(key, jnp.zeros((1, 2, 32, 32, 3)))["params"]["stage3"]["block0"]["attention"]

    initial = initial_attention(jax.random.key(5))
    assert_trees_equal(attention["rpb"], initial["rpb"])
    assert_trees_equal(attention["motion"], initial["motion"])
    assert np.std(variables["params"]["head"]["kernel"]) == pytest.approx(128**-0.5, rel=0.2)
    assert_trees_equal(attention["qkv"], reference["params"]["stage3"]["block0"]["attention"]["qkv"])
    assert len(report.missing) == 10
    assert set(report.misshapen) == {"head.weight"}
    assert "blocks3.0.attn.motion_conv.0.weight" in str(report)


def test_weights_of_another_network_are_refused_even_when_not_strict(model):
    with pytest.raises(CheckpointImportError, match="None of these weights belong to this model"):
        load_torch(model, {"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, strict=False)


def test_quantised_weights_are_refused_by_name(model, weights):
    weights["head.weight"] = weights["head.weight"].astype(np.int8)
    with pytest.raises(motion_vit.UserError, match=r"not floating point.*head\.weight"):
        load_torch(model, weights)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(model, weights, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    torch.save({"model_state": as_tensors(weights), "extra": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(motion_vit.UserError, match=r"hostile\.pth is refused.*system.*Nothing in it was executed"):
        load_torch(model, tmp_path / "hostile.pth")
    (tmp_path / "hostile.pt").write_bytes(pickle.dumps({"model": Hostile()}, protocol=2))
    with pytest.raises(motion_vit.UserError, match=r"hostile\.pt is refused"):
        load_torch(model, tmp_path / "hostile.pt")
    np.savez(tmp_path / "hostile.npz", head=np.array([Hostile()], dtype=object))
    with pytest.raises(motion_vit.UserError, match=r"hostile\.npz cannot be read"):
        load_torch(model, tmp_path / "hostile.npz")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", ["pyth", "safetensors", "npz"])
@pytest.mark.parametrize("content", [b"", b"this is no checkpoint, whatever its name says", b"PK\x03\x04"])
def test_a_damaged_file_is_reported_with_its_path(model, tmp_path, suffix, content):
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(content)
    with pytest.raises(motion_vit.UserError, match=rf"damaged\.{suffix} cannot be read as"):
        load_torch(model, path)


def test_a_truncated_checkpoint_is_reported_with_its_path(model, weights, tmp_path):
    path = tmp_path / "half.pyth"
    torch.save({"model_state": as_tensors(weights)}, path)
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(motion_vit.UserError, match=r"half\.pyth cannot be read as a PyTorch checkpoint"):
        load_torch(model, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "cfg": "TRAIN: ..."}, "holds no PyTorch state dict: its entry 'epoch' is a int"),
        ({"model_state": {}}, "holds no weights"),
        ([1, 2, 3], "holds a list, not a PyTorch state dict"),
    ],
)
def test_a_checkpoint_without_weights_says_what_it_holds(model, tmp_path, content, message):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(motion_vit.UserError, match=message):
        load_torch(model, tmp_path / "other.pth")


def test_a_path_that_is_no_weights_file_is_reported(model, tmp_path):
    with pytest.raises(motion_vit.UserError, match=r"absent\.pth cannot be read: the path does not exist"):
        load_torch(model, tmp_path / "absent.pth")
    with pytest.raises(motion_vit.UserError, match="the path is a folder"):
        load_torch(model, tmp_path)
    (tmp_path / "weights.onnx").touch()
    with pytest.raises(motion_vit.UserError, match=r"format of .*weights\.onnx is not known.*\.safetensors"):
        load_torch(model, tmp_path / "weights.onnx")


def test_a_model_without_a_pytorch_counterpart_says_so(weights):
    class Other(Backbone):
        def __call__(self, clips, train=False):
            return clips

    with pytest.raises(motion_vit.UserError, match="no foreign weights are known for Other"):
        load_torch(Other(), weights)
