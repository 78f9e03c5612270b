"""Video Swin's weights of torchvision, of the authors and of Swin for images: in, out, and what is said."""

import functools

import goldens
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.interop.importing.window_tables import table_for_clips
from motion_vit.training.checkpoints.weight_dtypes import compress

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

TABLE = "features.2.1.attn.relative_position_bias_table"


def create(**options):
    return motion_vit.create_model("video_swin_tiny", **options)


@functools.cache
def golden(case="window877"):
    return goldens.video_swin_state_dict(case)


def authors():
    """The same weights as the authors' code saves them, with the numbers of the windows."""
    names = goldens.video_swin_names("authors")
    index = {"backbone.layers.0.blocks.1.attn.relative_position_index": np.zeros((392, 392), np.int64)}
    return {names[name]: value for name, value in golden().items()} | index


def of_images(side=7):
    """Weights of a Swin for images, in the names of its authors, of the same sizes."""
    found = {"layers.0.blocks.1.attn_mask": np.zeros((4, 49, 49), np.float32)}
    for name, value in authors().items():
        name = name.removeprefix("backbone.").replace("cls_head.fc_cls.", "head.")
        if name.endswith("bias_table"):
            value = goldens.weight(name, ((2 * side - 1) ** 2, value.shape[1]))
        found[name] = value.sum(axis=2) if name == "patch_embed.proj.weight" else value
    return found


def exported(model, variables):
    return torch_state_dict(model, compress(variables, "float32"), step=0)


def test_weights_of_torchvision_go_in_and_out_with_no_bit_changed():
    model = create()
    buffer = {"features.0.1.attn.relative_position_index": np.zeros(392**2, np.int64)}
    variables, report = load_torch(model, golden() | buffer)
    assert report.complete
    assert list(report.outside) == list(buffer)
    found = exported(model, variables)
    assert found.keys() == golden().keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, golden()[name])


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_of_the_authors_are_the_same_network(wrapped):
    model = create()
    variables, report = load_torch(model, {"state_dict": authors()} if wrapped else authors())
    assert report.complete
    for name, array in exported(model, variables).items():
        np.testing.assert_array_equal(array, golden()[name])


def test_a_swin_for_images_starts_one_for_clips():
    with pytest.raises(CheckpointImportError, match="--inflate average"):
        load_torch(create(), of_images())
    variables, report = load_torch(create(), of_images(), inflation="average")
    assert report.complete
    assert TABLE in report.inflated
    embedding = np.asarray(variables["params"]["embedding"]["proj"]["kernel"])
    np.testing.assert_allclose(embedding[0], embedding[1])
    kernel = of_images()["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(embedding.sum(axis=0), kernel, rtol=1e-5, atol=1e-6)
    table = np.asarray(variables["params"]["stage2"]["block1"]["attention"]["relative_position_bias"])
    image = of_images()["layers.1.blocks.1.attn.relative_position_bias_table"]
    np.testing.assert_allclose(table.reshape(15, 169, 2), np.broadcast_to(image, (15, 169, 2)), rtol=1e-6)


def test_tables_of_other_windows_are_resized_as_pytorch_does():
    table = np.random.default_rng(0).standard_normal((23 * 23, 3)).astype(np.float32)
    found = table_for_clips(table, (2, 7, 5)).reshape(3, 13, 9, 3)
    grid = torch.from_numpy(table.T.reshape(1, 3, 23, 23).copy())
    expected = torch.nn.functional.interpolate(grid, (13, 9), mode="bicubic", align_corners=False)[0]
    for frame in found:
        np.testing.assert_allclose(np.moveaxis(frame, -1, 0), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_cost_volumes_start_in_trained_blocks():
    model = create(placement="stage2", window=3)
    variables, report = load_torch(model, golden(), anew=["motion"])
    assert report.complete
    attention = variables["params"]["stage2"]["block0"]["attention"]
    np.testing.assert_array_equal(attention["qkv"]["kernel"], golden()["features.2.0.attn.qkv.weight"].T)
    assert all(name.startswith("features.2.0.attn.") for name in report.anew)
    assert list(report.outside) == ["features.2.0.attn.relative_position_bias_table"]
    with pytest.raises(CheckpointImportError, match="placement=stage2"):
        load_torch(create(placement="lg", window=3), exported(model, variables))


@pytest.mark.fast_cases("{'num_classes': 5}-*", "{'motion_module': 'm2a'}-*")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (2, 2, 6, 2)}, "another network, video_swin_tiny"),
        ({"num_classes": 5}, "num_classes=10. Create it so"),
        ({"attention_window": (16, 7, 7)}, r"attention_window=\(8, 7, 7\). Create it so"),
        ({"motion_module": "m2a"}, "--new motion, in Python anew"),
        ({"tubelet_frames": 1}, "tubelet_frames=2. Create it so"),
    ],
    ids=str,
)
def test_a_mistake_is_answered_with_what_the_weights_are(options, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create(**options), golden())


@pytest.mark.fast_cases("174-*")
@pytest.mark.parametrize(("num_classes", "clips"), [(174, ("segment", 4)), (400, ("dense", 2))])
def test_clips_are_taken_as_the_authors_did(num_classes, clips, tmp_path):
    head = {"head.weight": np.zeros((num_classes, 128), np.float32), "head.bias": np.zeros(num_classes, np.float32)}
    weights = golden() | head
    import_weights(weights, "video_swin_tiny", tmp_path / "out")
    data = motion_vit.load(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling, data.stride) == ("rgb", *clips)
    assert (tuple(data.mean), tuple(data.std)) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
