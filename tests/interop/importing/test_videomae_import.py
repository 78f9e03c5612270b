"""VideoMAE's weights of its authors, of its pretraining and of Hugging Face: in, out, and what is said."""

import functools

import goldens
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weight_dtypes import compress

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

HUGGING_FACE = "videomae.encoder.layer.1.attention.attention"


def create(**options):
    return motion_vit.create_model("videomae_tiny", **options)


@functools.cache
def golden(network="videomae_tiny"):
    return goldens.state_dict(network)


def pretrained():
    """What pretraining by the authors' code saves: an encoder, its norm, and a decoder."""
    network = {name: value for name, value in golden().items() if not name.startswith(("head.", "fc_norm."))}
    beside = {
        "mask_token": np.zeros((1, 1, 48), np.float32),
        "encoder_to_decoder.weight": np.zeros((48, 96), np.float32),
        "encoder.norm.weight": np.ones(96, np.float32),
        "decoder.blocks.0.norm1.weight": np.ones(48, np.float32),
    }
    return {f"encoder.{name}": value for name, value in network.items()} | beside


def exported(model, variables):
    return torch_state_dict(model, compress(variables, "float32"), step=0)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_a_released_checkpoint_goes_in_and_out_with_no_bit_changed(prefix):
    model = create()
    variables, report = load_torch(model, {"module": {f"{prefix}{name}": value for name, value in golden().items()}})
    assert report.complete
    found = exported(model, variables)
    assert found.keys() == golden().keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, golden()[name])


@pytest.mark.parametrize("biases", [("q_bias", "v_bias"), ("query.bias", "value.bias")], ids=["file", "in_memory"])
def test_queries_keys_and_values_of_hugging_face_become_one_weight(biases):
    model = create()
    weights = golden("videomae_hf_tiny")
    renames = dict(zip(("q_bias", "v_bias"), biases, strict=True))
    named = {
        name if (last := name.rpartition(".")[2]) not in renames else name.replace(last, renames[last]): value
        for name, value in weights.items()
    }
    variables, report = load_torch(model, named)
    assert report.complete
    qkv = variables["params"]["blocks"]["block1"]["attention"]["qkv"]
    for place, part in enumerate(("query", "key", "value")):
        columns = slice(96 * place, 96 * (place + 1))
        np.testing.assert_array_equal(qkv["kernel"][:, columns], weights[f"{HUGGING_FACE}.{part}.weight"].T)
    np.testing.assert_array_equal(qkv["query_bias"], weights[f"{HUGGING_FACE}.q_bias"])
    np.testing.assert_array_equal(qkv["value_bias"], weights[f"{HUGGING_FACE}.v_bias"])
    assert exported(model, variables).keys() == golden().keys()


def test_what_is_not_three_alike_weights_is_named_as_missing():
    weights = dict(golden("videomae_hf_tiny"))
    weights[f"{HUGGING_FACE}.key.weight"] = np.zeros((3, 96), np.float32)
    with pytest.raises(
        CheckpointImportError, match=r"missing .*\n  blocks\.1\.attn\.qkv\.weight \(288, 96\)"
    ) as raised:
        load_torch(create(), weights)
    assert f"{HUGGING_FACE}.query.weight" in raised.value.report.unexpected


def test_a_pretrained_encoder_is_taken_without_its_decoder():
    model = create(num_classes=7)
    with pytest.raises(CheckpointImportError, match=r"missing .*\n  fc_norm"):
        load_torch(model, pretrained(), anew=["head"])
    variables, report = load_torch(model, pretrained(), anew=["head", "norm"])
    assert report.complete
    assert set(report.outside) == {
        *("mask_token", "encoder_to_decoder.weight", "encoder.norm.weight", "decoder.blocks.0.norm1.weight")
    }
    assert "no part of the network:\n  mask_token (1, 1, 48)" in str(report)
    kernel = variables["params"]["blocks"]["block1"]["mlp"]["fc1"]["kernel"]
    np.testing.assert_array_equal(kernel, golden()["blocks.1.mlp.fc1.weight"].T)
    assert np.asarray(variables["params"]["fc_norm"]["scale"]).all()


def test_a_network_that_classifies_the_first_token_is_refused():
    weights = {name: value for name, value in golden("videomae_hf_tiny").items() if not name.startswith("fc_norm.")}
    weights |= {f"videomae.layernorm.{part}": np.ones(96, np.float32) for part in ("weight", "bias")}
    with pytest.raises(CheckpointImportError, match=r"unexpected .*\n  videomae\.layernorm\.weight"):
        load_torch(create(), weights, anew=["norm"])


def test_cost_volumes_start_in_trained_blocks():
    variables, report = load_torch(create(placement="lg", window=3), golden(), anew=["motion"])
    assert report.complete
    attention = variables["params"]["blocks"]["block0"]["attention"]
    np.testing.assert_array_equal(attention["qkv"]["kernel"], golden()["blocks.0.attn.qkv.weight"].T)
    assert report.anew
    assert all(name.startswith("blocks.0.attn.") for name in report.anew)
    weights = exported(create(placement="lg", window=3), variables)
    with pytest.raises(CheckpointImportError, match="placement=lg"):
        load_torch(create(placement="gl", window=3), weights)


@pytest.mark.fast_cases("{'num_classes'*", "{'positions'*", "{'tubelet_frames'*")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 3}, "another network, videomae_tiny"),
        ({"num_classes": 5}, "num_classes=10. Create it so"),
        ({"positions": "learned"}, "positions=sinusoid. Create it so"),
        ({"motion_module": "m2a"}, "--new motion, in Python anew"),
        ({"tubelet_frames": 1}, "tubelet_frames=2. Create it so"),
    ],
    ids=str,
)
def test_a_mistake_is_answered_with_what_the_weights_are(options, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create(**options), golden())


@pytest.mark.parametrize(("num_classes", "sampling"), [(174, "segment"), (710, "dense")])
def test_clips_are_taken_as_the_authors_did(num_classes, sampling, tmp_path):
    head = {
        "head.weight": np.zeros((num_classes, 96), np.float32),
        "head.bias": np.zeros(num_classes, np.float32),
    }
    import_weights(golden() | head, "videomae_tiny", tmp_path / "out")
    data = motion_vit.load(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling, data.stride) == ("rgb", sampling, 4)
    assert (tuple(data.mean), tuple(data.std)) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_a_pretrained_encoder_is_imported_as_one_that_is_to_be_fine_tuned(tmp_path):
    result = import_weights(
        pretrained(), "videomae_tiny", tmp_path / "out", options={"num_classes": 3}, anew=["head", "norm"]
    )
    assert any("the model is to be fine-tuned" in note for note in result.notes)
