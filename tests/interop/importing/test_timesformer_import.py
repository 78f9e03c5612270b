"""TimeSformer's weights, those of image transformers, and those behind motion prompts: in, out, and what is said."""

import functools

import chex
import goldens
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weight_dtypes import compress

SCHEMES = ("divided_space_time", "joint_space_time", "space_only")


def create(scheme="divided_space_time", **options):
    return motion_vit.create_model("timesformer_tiny", attention=scheme, **options)


def golden(scheme="divided_space_time"):
    return goldens.state_dict(f"timesformer_tiny_{scheme}")


def image_transformer(num_classes=1000):
    """The names that timm has for a vision transformer of images, which TimeSformer's code builds on."""
    weights = golden("space_only")
    return weights | {
        "head.weight": np.ones((num_classes, 96), np.float32),
        "head.bias": np.zeros(num_classes, np.float32),
    }


def exported(model, variables):
    return torch_state_dict(model, compress(variables, "float32"), step=0)


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert (array.shape, array.tobytes()) == (expected[name].shape, expected[name].tobytes()), name


@functools.cache
def loaded():
    """The divided golden with its variables."""
    model = create()
    return model, load_torch(model, golden())[0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_released_checkpoint_goes_in_and_out_with_no_bit_changed(scheme):
    model = create(scheme)
    variables, report = load_torch(model, {f"model.{name}": value for name, value in golden(scheme).items()})
    assert report.complete
    assert "all names begin with model. in the source" in str(report)
    assert_same_bits(exported(model, variables), golden(scheme))


def test_every_layout_puts_each_entry_where_it_is_read():
    params, weights = loaded()[1]["params"], golden()
    embedding, block = params["embedding"], params["blocks"]["block1"]
    assert embedding["proj"]["kernel"][0, 3, 14, 1, 95] == weights["patch_embed.proj.weight"][95, 1, 3, 14]
    assert embedding["position_embedding"][16, 7] == weights["pos_embed"][0, 16, 7]
    assert embedding["class_token"][5] == weights["cls_token"][0, 0, 5]
    assert block["temporal_attention"]["qkv"]["kernel"][4, 200] == weights["blocks.1.temporal_attn.qkv.weight"][200, 4]
    assert block["temporal_norm"]["scale"][9] == weights["blocks.1.temporal_norm1.weight"][9]


def test_an_image_transformer_starts_attention_over_time_as_a_copy_of_that_within_frames():
    model = create(num_classes=7)
    variables, report = load_torch(model, image_transformer(), anew=["temporal", "head"])
    assert report.complete
    block = variables["params"]["blocks"]["block1"]
    for copy, original in (("temporal_attention", "attention"), ("temporal_norm", "norm1")):
        chex.assert_trees_all_equal(block[copy], block[original])
    assert not np.asarray(block["temporal_fc"]["kernel"]).any()
    assert not np.asarray(variables["params"]["embedding"]["time_embedding"]).any()
    assert report.copied["blocks.1.temporal_attn.qkv.weight"] == "blocks.1.attn.qkv.weight"
    assert len(report.copied) == 2 * (2 + 2 + 2)
    assert "blocks.1.temporal_norm1.bias from blocks.1.norm1.bias" in str(report)
    assert "time_embed" in report.anew
    assert set(report.replaced) == {"head.weight", "head.bias"}


@pytest.mark.usefixtures("new_weights_are_ones")
def test_cost_volumes_start_in_a_trained_timesformer():
    model = create(temporal_attention="cost_volume", window=3)
    variables, report = load_torch(model, golden(), anew=["motion"])
    assert report.complete
    attention = variables["params"]["blocks"]["block0"]["temporal_attention"]
    np.testing.assert_array_equal(attention["qkv"]["kernel"], golden()["blocks.0.temporal_attn.qkv.weight"].T)
    assert {name.rpartition(".temporal_attn.")[2] for name in report.anew} == {
        *("rpb", "motion_conv.0.weight", "motion_conv.0.bias", "motion_conv.2.weight", "motion_conv.2.bias")
    }


def test_embeddings_of_other_clips_are_resized_when_asked():
    model = create(frames=4, image_size=96)
    with pytest.raises(CheckpointImportError, match=r"frames=8.*\n(.*\n)*.*--resize, in Python resize=True"):
        load_torch(model, golden())
    variables, report = load_torch(model, golden(), resize=True)
    assert report.resized == {"pos_embed": ((1, 17, 96), (1, 37, 96)), "time_embed": ((1, 8, 96), (1, 4, 96))}
    np.testing.assert_array_equal(
        variables["params"]["embedding"]["time_embedding"], golden()["time_embed"][0, [0, 2, 4, 6]]
    )
    assert "resized to the nearest entries:\n  pos_embed (1, 17, 96) in the source" in str(report)


@pytest.mark.usefixtures("new_weights_are_ones")
def test_a_backbone_is_taken_behind_motion_prompts_that_start_anew():
    model = create(input_adapter="motion_prompt")
    with pytest.raises(CheckpointImportError, match=r"missing .*\n  vmps\.m \(1,\)"):
        load_torch(model, golden())
    variables, report = load_torch(model, golden(), anew=["prompt"])
    assert set(report.anew) == {"vmps.m", "vmps.n"}
    chex.assert_trees_all_equal(variables["params"]["backbone"], loaded()[1]["params"])

    state_dict = exported(model, variables)
    authors = {f"model.{name}": value.shape for name, value in golden().items()} | {"vmps.m": (1,), "vmps.n": (1,)}
    assert {name: array.shape for name, array in state_dict.items()} == authors
    again, _ = load_torch(model, {f"module.{name}": array for name, array in state_dict.items()})
    chex.assert_trees_all_equal(again, variables)


@pytest.mark.usefixtures("new_weights_are_ones")
def test_a_prompted_models_own_file_is_taken_in_and_tells_only_what_it_is(tmp_path):
    prompted = {"input_adapter": "motion_prompt"}
    model = create(num_classes=7, **prompted)
    variables, _ = load_torch(model, golden(), anew=["prompt", "head"])
    arrays = {path: np.asarray(array) for path, array in traverse_util.flatten_dict(variables, sep="/").items()}
    result = import_weights(arrays, "timesformer_tiny", tmp_path / "out", options=prompted)
    assert result.trained.model == model
    chex.assert_trees_all_equal(result.trained.variables, variables)
    with pytest.raises(CheckpointImportError, match="a model with num_classes=7") as raised:
        load_torch(create(**prompted), arrays)
    assert "attention" not in str(raised.value)


@pytest.mark.fast_cases("*-space_only-*", "*num_classes=10*", "*temporal_attention=global*")
@pytest.mark.parametrize(
    ("model", "scheme", "message"),
    [
        ({"scheme": "divided_space_time"}, "space_only", "attention=space_only. Create it so"),
        ({"scheme": "divided_space_time"}, "space_only", "--new temporal, in Python anew"),
        ({"num_classes": 5}, "divided_space_time", "num_classes=10. Create it so"),
        ({"depth": 3}, "divided_space_time", "another network, timesformer_tiny"),
        ({"motion_module": "m2a"}, "divided_space_time", "--new motion, in Python anew"),
        ({"temporal_attention": "cost_volume"}, "divided_space_time", "temporal_attention=global. Create it so"),
    ],
)
def test_a_mistake_is_answered_with_what_the_weights_are(model, scheme, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create(**model), golden(scheme))


def test_weights_of_another_kind_of_network_are_refused():
    with pytest.raises(CheckpointImportError, match="the weights do not fit TimeSformer"):
        load_torch(create(), goldens.state_dict("uniformer_tiny"))
    with pytest.raises(motion_vit.UserError, match=r"'neck' is no part .* head, temporal, motion, prompt"):
        load_torch(create(input_adapter="motion_prompt"), golden(), anew=["neck"])


@pytest.mark.parametrize(
    ("num_classes", "order", "sampling", "stride"), [(174, "bgr", "segment", 4), (600, "rgb", "dense", 32)]
)
def test_clips_are_taken_as_the_authors_did(num_classes, order, sampling, stride, tmp_path):
    weights = {f"model.{name}": value for name, value in image_transformer(num_classes).items()} | {
        f"model.{name}": value for name, value in golden().items() if "head" not in name
    }
    result = import_weights(weights, "timesformer_tiny", tmp_path / "out")
    data = motion_vit.load(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling, data.stride) == (order, sampling, stride)
    assert (tuple(data.mean), tuple(data.std)) == ((0.45,) * 3, (0.225,) * 3)
    assert any("the model has 3 of 32 channels each" in note for note in result.notes)
