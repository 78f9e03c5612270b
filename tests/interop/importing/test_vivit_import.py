"""ViViT's weights of scenic, of Hugging Face and of images: in, out, and what is said."""

import functools
import re

import goldens
import jax
import numpy as np
import pytest
from drawn_variables import random_variables
from flax import serialization, traverse_util

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.vivit import scenic_arrays
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weight_dtypes import compress

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

MODELS = {
    "spacetime": {},
    "factorized_encoder": {"attention": "factorised_encoder"},
    "factorized_self_attention_block": {"attention": "factorised_self_attention", "pooling": "mean"},
    "factorized_dot_product_attention": {"attention": "factorised_dot_product", "pooling": "mean", "heads": 4},
}
SMALL_IMAGE = {"width": 8, "depth": 2, "heads": 2, "patch_size": 4, "image_size": 8, "frames": 6, "num_classes": 3}


def create(network="spacetime", **options):
    return motion_vit.create_model("vivit_tiny", **MODELS[network] | options)


@functools.cache
def golden(network):
    return goldens.vivit_weights(network)


def exported(model, variables):
    return torch_state_dict(model, compress(variables, "float32"), step=0)


@pytest.mark.parametrize("network", MODELS)
def test_a_checkpoint_of_scenic_goes_in_and_out_with_no_bit_changed(network, tmp_path):
    tree = traverse_util.unflatten_dict(golden(network), sep="/")
    path = tmp_path / "checkpoint_1"
    path.write_bytes(serialization.msgpack_serialize({"optimizer": {"target": tree}, "global_step": 9}))
    model = create(network)
    variables, report = load_torch(model, path)
    assert report.complete
    found = scenic_arrays(model, compress(variables, "float32"))
    assert found.keys() == golden(network).keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, golden(network)[name])


def test_a_file_of_hugging_face_goes_in_and_out_with_no_bit_changed():
    model = create()
    variables, report = load_torch(model, golden("huggingface"))
    assert report.complete
    found = exported(model, variables)
    assert found.keys() == golden("huggingface").keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, golden("huggingface")[name])


def test_names_that_a_module_of_transformers_5_has_in_memory_are_known():
    renames = (
        (r"encoder\.layer\.", "layers."),
        (r"attention\.attention\.(q|k|v)\w+", r"attention.\1_proj"),
        (r"attention\.output\.dense", "attention.o_proj"),
        (r"intermediate\.dense", "mlp.fc1"),
        (r"output\.dense", "mlp.fc2"),
    )
    in_memory = {}
    for name, value in golden("huggingface").items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        in_memory[name] = value
    assert "vivit.layers.1.attention.q_proj.weight" in in_memory
    variables, report = load_torch(create(), in_memory)
    assert report.complete
    kernel = variables["params"]["blocks"]["block1"]["attention"]["proj"]["kernel"]
    expected = golden("huggingface")["vivit.encoder.layer.1.attention.output.dense.weight"].T
    np.testing.assert_array_equal(kernel, expected)


@pytest.mark.parametrize("network", ["factorized_encoder", "factorized_self_attention_block"])
def test_models_without_published_names_come_back_from_what_they_export(network):
    model = create(network)
    variables, _ = load_torch(model, golden(network))
    again, report = load_torch(model, exported(model, variables))
    assert report.complete
    leaves, expected = (traverse_util.flatten_dict(each, sep="/") for each in (again, variables))
    assert all((leaves[path] == expected[path]).all() for path in expected)


def test_hugging_face_names_go_in_and_out_behind_a_motion_prompt():
    model = create(input_adapter="motion_prompt")
    weights = {f"model.{name}": value for name, value in golden("huggingface").items()}
    variables, report = load_torch(model, weights, anew=["prompt"])
    assert report.complete
    assert exported(model, variables).keys() == {*weights, "vmps.m", "vmps.n"}


def test_cost_volumes_start_in_trained_blocks():
    network = "factorized_self_attention_block"
    model = create(network, temporal_attention="cost_volume", window=3)
    variables, report = load_torch(model, golden(network), anew=["motion"])
    assert report.complete
    assert report.anew
    assert all(".temporal_attn." in name for name in report.anew)
    with pytest.raises(CheckpointImportError, match="temporal_attention=cost_volume"):
        load_torch(create(network), exported(model, variables))
    _, report = load_torch(create(placement="gl", window=3), golden("huggingface"), anew=["motion"])
    assert {name.partition(".attn.")[0] for name in report.anew} == {"blocks.1"}


def test_weights_of_another_architecture_are_told_from_those_of_other_options():
    shapes = goldens.state_dict_shapes("videomae_hf_tiny")
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(CheckpointImportError, match="as transformers calls those of a VideoMAE") as raised:
        load_torch(create(), weights)
    assert "Hardly any of these weights belong to this model" in str(raised.value)
    assert "Create it so" not in str(raised.value)


@functools.cache
def image_weights(side=2):
    """A ViT of images of two blocks in the names of google-research/vision_transformer."""
    draw = np.random.default_rng(0)
    shapes = {"cls": (1, 1, 8), "embedding/kernel": (4, 4, 3, 8), "embedding/bias": (8,), "pre_logits/bias": (8,)}
    shapes |= {"head/kernel": (8, 1000), "head/bias": (1000,)}
    shapes |= {"Transformer/posembed_input/pos_embedding": (1, 1 + side**2, 8)}
    shapes |= {f"Transformer/encoder_norm/{part}": (8,) for part in ("scale", "bias")}
    for block in (0, 1):
        inside = f"Transformer/encoderblock_{block}"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            shapes |= {f"{inside}/{norm}/{part}": (8,) for part in ("scale", "bias")}
        for part in ("query", "key", "value"):
            layer = f"{inside}/MultiHeadDotProductAttention_1/{part}"
            shapes |= {f"{layer}/kernel": (8, 2, 4), f"{layer}/bias": (2, 4)}
        layer = f"{inside}/MultiHeadDotProductAttention_1/out"
        shapes |= {f"{layer}/kernel": (2, 4, 8), f"{layer}/bias": (8,)}
        for layer, inputs, outputs in (("Dense_0", 8, 32), ("Dense_1", 32, 8)):
            shapes |= {
                f"{inside}/MlpBlock_3/{layer}/kernel": (inputs, outputs),
                f"{inside}/MlpBlock_3/{layer}/bias": (outputs,),
            }
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def start_from_images(inflation="center", side=2, **options):
    model = motion_vit.create_model("vivit_tiny", **SMALL_IMAGE | options)
    variables, report = load_torch(
        model, image_weights(side), anew=["head", "temporal"], inflation=inflation, resize=True
    )
    assert report.complete
    left_over = set() if model.pooling == "class_token" else {"cls_token"}
    assert set(report.outside) == {"pre_logits/bias"} | left_over
    return variables["params"], report


@pytest.mark.parametrize("inflation", ["center", "average"])
def test_a_kernel_of_images_lies_in_the_second_frame_or_in_both(inflation):
    kernel = np.asarray(start_from_images(inflation)[0]["embedding"]["kernel"])
    image = image_weights()["embedding/kernel"]
    expected = {"center": [np.zeros_like(image), image], "average": [image / 2, image / 2]}
    np.testing.assert_allclose(kernel, expected[inflation], rtol=1e-6)


@pytest.mark.fast_cases("4-*")
@pytest.mark.parametrize(("side", "nearest"), [(2, [0, 1, 2, 3]), (1, [0, 0, 0, 0]), (4, [0, 2, 8, 10])])
def test_places_of_an_image_are_those_of_every_frame(side, nearest):
    table = image_weights(side)["Transformer/posembed_input/pos_embedding"][0]
    joint = start_from_images(side=side)[0]["places"]["place_embedding"]
    np.testing.assert_array_equal(joint, np.concatenate([table[:1]] + 3 * [table[1:][nearest]]))
    without = start_from_images(side=side, attention="factorised_self_attention", pooling="mean")[0]["places"]
    np.testing.assert_array_equal(without["place_embedding"], np.concatenate(3 * [table[1:][nearest]]))


def test_attention_over_time_starts_as_that_within_frames_and_its_norm_anew():
    params, report = start_from_images(attention="factorised_self_attention", pooling="mean")
    block = params["blocks"]["block1"]
    for layer in ("qkv", "proj"):
        np.testing.assert_array_equal(block["temporal_attention"][layer]["kernel"], block["attention"][layer]["kernel"])
    query = image_weights()["Transformer/encoderblock_1/MultiHeadDotProductAttention_1/query/kernel"].reshape(8, 8)
    np.testing.assert_array_equal(block["attention"]["qkv"]["kernel"][:, :8], query)
    assert {"blocks.1.temporal_norm1.weight", "blocks.1.temporal_norm1.bias"} <= set(report.anew)


@pytest.mark.slow
def test_a_factorised_encoder_takes_the_image_model_as_its_spatial_encoder():
    params, report = start_from_images(attention="factorised_encoder")
    np.testing.assert_array_equal(params["norm"]["scale"], image_weights()["Transformer/encoder_norm/scale"])
    beginnings = {name.partition(".")[0] for name in report.anew}
    assert beginnings == {"head", "temporal_blocks", "temporal_norm", "temporal_pos_embed", "temporal_cls_token"}


@pytest.mark.fast_cases("emim")
@pytest.mark.parametrize(
    "options",
    [
        {"adapter": "bottleneck", "adapter_ratio": 0.5},
        {"adapter": "attention", "adapter_queries": 3},
        {"adapter": "emim", "window": 3},
    ],
    ids=lambda options: options["adapter"],
)
def test_an_adapter_goes_in_and_out_and_may_start_anew(options):
    def create(**adapter):
        shallow = SMALL_IMAGE | {"depth": 1, "temporal_depth": 1}
        return motion_vit.create_model("vivit_tiny", **shallow, attention="factorised_encoder", **adapter)

    model, draw = create(**options), np.random.default_rng(3)
    variables = random_variables(model, draw)
    weights = exported(model, variables)
    jax.tree.map(np.testing.assert_array_equal, load_torch(model, weights)[0]["params"], variables["params"])
    with pytest.raises(CheckpointImportError, match=f"adapter={options['adapter']}"):
        load_torch(create(), weights)
    without = {name: array for name, array in weights.items() if not name.startswith("adapter.")}
    with pytest.raises(CheckpointImportError, match="adapter=none"):
        load_torch(model, without)
    assert load_torch(model, without, anew=["adapter"])[1].complete


@pytest.mark.fast_cases("2-*")
@pytest.mark.parametrize(("frames", "nearest"), [(12, [0, 0, 1, 1, 2, 2]), (2, [0])])
def test_tables_of_other_frames_take_the_nearest_entries(frames, nearest):
    draw = np.random.default_rng(2)
    shallow = SMALL_IMAGE | {"depth": 1}
    of_encoder = motion_vit.create_model("vivit_tiny", **shallow, attention="factorised_encoder", temporal_depth=1)
    of_clip = motion_vit.create_model("vivit_tiny", **shallow)
    for model, name, places in ((of_encoder, "temporal_places", 1), (of_clip, "places", 4)):
        weights = exported(model, random_variables(model, draw))
        other = model.clone(frames=frames)
        with pytest.raises(CheckpointImportError, match="misshapen"):
            load_torch(other, weights)
        few = load_torch(model, weights)[0]["params"][name]["place_embedding"]
        many = load_torch(other, weights, resize=True)[0]["params"][name]["place_embedding"]
        rows = [1 + places * entry + place for entry in nearest for place in range(places)]
        np.testing.assert_array_equal(many, np.asarray(few)[[0, *rows]])


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("spacetime", {"depth": 3}, "another network, vivit_tiny"),
        ("spacetime", {"num_classes": 5}, "num_classes=10. Create it so"),
        ("spacetime", {"tubelet_frames": 1}, "tubelet_frames=2"),
        ("factorized_encoder", {"attention": "joint"}, "attention=factorised_encoder"),
        ("factorized_encoder", {"temporal_depth": 3}, "temporal_depth=2"),
        ("factorized_encoder", {"frames": 16}, "frames=8"),
        ("factorized_self_attention_block", {"attention": "joint"}, "attention=factorised_self_attention"),
        ("factorized_dot_product_attention", {"attention": "joint", "pooling": "class_token"}, "pooling=mean"),
    ],
)
def test_a_mistake_is_answered_with_what_the_weights_are(network, options, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create(network, **options), golden(network))


@pytest.mark.parametrize(("num_classes", "stride"), [(400, 2), (174, 1)])
def test_clips_are_taken_as_the_authors_did(num_classes, stride, tmp_path):
    head = {"classifier.weight": np.zeros((num_classes, 96), np.float32)}
    head["classifier.bias"] = np.zeros(num_classes, np.float32)
    import_weights(golden("huggingface") | head, "vivit_tiny", tmp_path / "out")
    data = motion_vit.load(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling, data.stride) == ("rgb", "dense", stride)
    assert tuple(data.mean) == tuple(data.std) == (0.5, 0.5, 0.5)
