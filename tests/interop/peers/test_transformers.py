"""Networks of Hugging Face's transformers, with random weights: imported, they give the same logits here."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_videos

import motion_vit
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.importing.huggingface_folder import read_hugging_face_folder
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.video_model import VideoModel

torch = pytest.importorskip("torch", reason="needs PyTorch (the extra `torch`)")
transformers = pytest.importorskip("transformers", reason="needs Hugging Face's transformers (the extra `peers`)")

CLASSES = 7


def random_network(kind: str, **fields: Any) -> Any:
    """A network of random weights far enough from their initial values that every part counts."""
    config = getattr(transformers, f"{kind}Config")(num_labels=CLASSES, **fields)
    torch.manual_seed(len(kind))
    network = getattr(transformers, f"{kind}ForVideoClassification")(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return network


def assert_same_logits(network: Any, model: VideoModel, size: int) -> None:
    """Imports all weights of a network, and compares what both say of two clips."""
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    variables, report = load_torch(model, weights)
    assert report.complete
    clips = np.random.default_rng(3).standard_normal((2, model.frames, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(clips.transpose(0, 1, 4, 2, 3))).logits.numpy()
    logits = jax.jit(model.apply)(variables, jnp.asarray(clips))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("size", "frames", "tubelet", "bias"), [(48, 6, 2, True), (32, 4, 1, False)])
def test_videomae(size: int, frames: int, tubelet: int, bias: bool) -> None:
    network = random_network(
        "VideoMAE",
        image_size=size,
        num_frames=frames,
        tubelet_size=tubelet,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=192,
        qkv_bias=bias,
    )
    model = motion_vit.create_model(
        "videomae_tiny",
        num_classes=CLASSES,
        image_size=size,
        frames=frames,
        tubelet_frames=tubelet,
        qkv_bias=bias,
        width=48,
        depth=2,
        heads=3,
    )
    assert_same_logits(network, model, size)


@pytest.mark.parametrize("attention", ["divided_space_time", "joint_space_time"])
@pytest.mark.parametrize("bias", [True, False])
def test_timesformer(attention: str, bias: bool) -> None:
    network = random_network(
        "Timesformer",
        image_size=32,
        patch_size=8,
        num_frames=3,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=192,
        attention_type=attention,
        qkv_bias=bias,
    )
    model = motion_vit.create_model(
        "timesformer_tiny",
        num_classes=CLASSES,
        image_size=32,
        patch_size=8,
        frames=3,
        width=48,
        depth=2,
        heads=3,
        attention=attention,
        qkv_bias=bias,
    )
    assert_same_logits(network, model, 32)


@pytest.mark.parametrize(("size", "tubelet"), [(48, (2, 16, 16)), (24, (3, 8, 8))])
def test_vivit(size: int, tubelet: tuple[int, int, int]) -> None:
    frames = 2 * tubelet[0]
    network = random_network(
        "Vivit",
        image_size=size,
        num_frames=frames,
        tubelet_size=tubelet,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=192,
    )
    model = motion_vit.create_model(
        "vivit_tiny",
        num_classes=CLASSES,
        image_size=size,
        frames=frames,
        tubelet_frames=tubelet[0],
        patch_size=tubelet[1],
        width=48,
        depth=2,
        heads=3,
    )
    assert_same_logits(network, model, size)


FOLDERS = {
    "VideoMAE": {"image_size": 32, "num_frames": 4, "patch_size": 16, "tubelet_size": 2},
    "Timesformer": {"image_size": 32, "num_frames": 3, "patch_size": 8},
    "Vivit": {"image_size": 32, "num_frames": 4, "tubelet_size": (2, 16, 16)},
}
SHAPE = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}


@pytest.mark.parametrize("kind", FOLDERS)
def test_folders_go_from_transformers_to_this_library_and_back(kind: str, tmp_path: pathlib.Path) -> None:
    network = random_network(kind, **FOLDERS[kind], **SHAPE)
    network.save_pretrained(tmp_path / "theirs")
    trained = motion_vit.load(tmp_path / "theirs")
    clips = np.random.default_rng(3).standard_normal((2, *trained.model.clip_shape)).astype(np.float32)
    pixels = torch.from_numpy(clips.transpose(0, 1, 4, 2, 3))
    with torch.no_grad():
        expected = network(pixels).logits.numpy()
    logits = jax.jit(trained.model.apply)(trained.variables, jnp.asarray(clips))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert list(trained.label_names) == [f"LABEL_{number}" for number in range(CLASSES)]

    export_model(trained, "huggingface", tmp_path / "ours")
    returned = getattr(transformers, f"{kind}ForVideoClassification").from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        again = returned(pixels).logits.numpy()
    np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


PROCESSORS = {
    "VideoMAE": "VideoMAEImageProcessor",
    "Timesformer": "VideoMAEImageProcessor",
    "Vivit": "VivitImageProcessor",
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_video_file_is_classified_as_behind_their_own_preprocessing(kind: str, tmp_path: pathlib.Path) -> None:
    fields = FOLDERS[kind] | {"image_size": 48}  # as the video's height: how frames are resized is each library's own
    network = random_network(kind, **fields, **SHAPE)
    network.save_pretrained(tmp_path)
    processor = getattr(transformers, PROCESSORS[kind])(
        size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}
    )
    processor.save_pretrained(tmp_path)
    clip = small_videos.moving_texture(fields["num_frames"], 48, 64)
    video = small_videos.encode(tmp_path / "clip.mp4", small_videos.ENCODINGS["h264 without B-frames"], clip)
    with torch.no_grad():
        pixels = processor(list(small_videos.decode_all(video)), return_tensors="pt")
        expected = torch.softmax(network(**pixels).logits[0], 0).tolist()
    every_frame = {"sampling": "dense", "stride": 1}
    trained = read_hugging_face_folder(tmp_path, clips=every_frame).trained
    (prediction,) = trained.predict([video], clips=1, crops=1, top="all")
    found = dict(prediction.classes)
    assert [found[f"LABEL_{number}"] for number in range(CLASSES)] == pytest.approx(expected, abs=1e-4)
