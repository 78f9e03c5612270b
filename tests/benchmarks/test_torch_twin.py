"""The PyTorch networks that benchmarks compare with are the authors' too, by their own numbers."""

import dataclasses

import goldens
import numpy as np
import pytest
import torch
from torch_options import (
    MobileNetV2Options,
    MViTOptions,
    SlowFastOptions,
    TimeSformerOptions,
    UniFormerOptions,
    VideoMAEOptions,
    VideoResNetOptions,
    VideoSwinOptions,
    X3DOptions,
)
from torch_twin import make_twin

import motion_vit

TINY = {"num_classes": 10, "widths": (32, 64, 96, 128), "depths": (1, 1, 2, 2), "head_channels": 32, "window": 7}
NETWORKS = {
    "uniformer_emim_tiny": TINY | {"placement": "lg"},
    "uniformer_tiny": TINY | {"placement": "gg"},
    "uniformer_emim_tiny_layerscale": TINY | {"placement": "lg", "layer_scale": 1e-5},
}


def build(name):
    twin = make_twin(UniFormerOptions(**NETWORKS[name]))
    state_dict = {key: torch.from_numpy(np.array(value)) for key, value in goldens.state_dict(name).items()}
    twin.load_state_dict(state_dict, strict=True)
    return twin, goldens.load(name), torch.from_numpy(np.ascontiguousarray(goldens.tiny_video()))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_twin_gives_the_authors_logits(name):
    twin, golden, video = build(name)
    with torch.inference_mode():
        logits = twin(video)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


def test_the_twin_gives_the_authors_gradients():
    twin, golden, video = build("uniformer_emim_tiny")
    loss = torch.nn.functional.cross_entropy(twin.train()(video), torch.from_numpy(golden["labels"]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), golden["train/loss"], rtol=1e-4)
    for name in (
        "patch_embed1.proj.weight",
        "blocks1.0.attn.weight",
        "blocks3.0.attn.rpb",
        "blocks4.0.attn.qkv.weight",
    ):
        gradient = twin.get_parameter(name).grad.contiguous().numpy()
        goldens.assert_gradient_matches(golden, f"train/grad/{name}", gradient)


def test_the_twin_of_a_timesformer_gives_the_authors_logits():
    name = "timesformer_tiny_divided_space_time"
    twin = make_twin(TimeSformerOptions(10, frames=8, image_size=64, patch_size=16, width=96, depth=2, heads=3))
    state_dict = {key: torch.from_numpy(np.array(value)) for key, value in goldens.state_dict(name).items()}
    twin.load_state_dict(state_dict, strict=True)
    with torch.inference_mode():
        logits = twin(torch.from_numpy(np.ascontiguousarray(goldens.timesformer_video())))
    np.testing.assert_allclose(logits, goldens.load(name)["logits"], rtol=1e-4, atol=1e-4)


def test_the_twin_of_a_videomae_gives_the_authors_logits():
    size = {"frames": 8, "image_size": 64, "tubelet_frames": 2, "patch_size": 16}
    twin = make_twin(VideoMAEOptions(10, **size, width=96, depth=2, heads=3))
    state_dict = {key: torch.from_numpy(np.array(value)) for key, value in goldens.state_dict("videomae_tiny").items()}
    twin.load_state_dict(state_dict, strict=True)
    with torch.inference_mode():
        logits = twin(torch.from_numpy(np.ascontiguousarray(goldens.videomae_video())))
    np.testing.assert_allclose(logits, goldens.load("videomae_tiny")["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("case", "window"), [("window877_odd", (8, 7, 7)), ("window244", (2, 4, 4))])
def test_the_twin_of_a_video_swin_gives_torchvisions_logits(case, window):
    shape = {"tubelet_frames": 2, "patch_size": 4, "width": 32, "depths": (2, 2, 2), "head_channels": 32}
    twin = make_twin(VideoSwinOptions(10, **shape, attention_window=window))
    weights = goldens.video_swin_state_dict(case.removesuffix("_odd"))
    twin.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in weights.items()}, strict=True)
    golden = goldens.load(f"video_swin/{case}")
    video = goldens.seeded_video(int(golden["video_seed"]), tuple(golden["video_shape"]))
    with torch.inference_mode():
        logits = twin(torch.from_numpy(video))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


def test_the_twin_of_a_slowfast_gives_the_authors_logits():
    model = motion_vit.create_model("slowfast_tiny", depths=(1, 2, 2, 1), channel_ratio=8, lateral_kernel=7)
    shape = {field.name: getattr(model, field.name) for field in dataclasses.fields(SlowFastOptions)}
    twin = make_twin(SlowFastOptions(**shape))
    names = goldens.slowfast_names("shapes")["slowfast_tiny"]
    state_dict = {name: torch.from_numpy(np.array(goldens.weight(name, tuple(names[name])))) for name in names}
    twin.load_state_dict(state_dict, strict=True)
    golden = goldens.load("slowfast/slowfast_tiny")
    with torch.inference_mode():
        logits = twin(torch.from_numpy(np.ascontiguousarray(goldens.slowfast_video(golden))))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


def test_the_twin_of_an_x3d_gives_the_authors_logits():
    twin = make_twin(X3DOptions(10, (24, 48, 96, 192), (1, 1, 3, 2), inner_ratio=2.25, head_features=128))
    shapes = goldens.x3d_names()["shapes"]["x3d_tiny"]
    state_dict = {name: torch.from_numpy(np.array(goldens.weight(name, tuple(shapes[name])))) for name in shapes}
    twin.load_state_dict(state_dict, strict=True)
    golden = goldens.load("x3d/x3d_tiny")
    with torch.inference_mode():
        logits = twin(torch.from_numpy(goldens.slowfast_video(golden)))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


def test_the_twin_of_an_mvit_gives_torchvisions_logits():
    twin = make_twin(MViTOptions(10, frames=8, image_size=64, width=32, depths=(1, 2, 1), heads=1, key_stride=4))
    state_dict = {key: torch.from_numpy(np.array(value)) for key, value in goldens.mvit_state_dict().items()}
    twin.load_state_dict(state_dict, strict=True)
    with torch.inference_mode():
        logits = twin(torch.from_numpy(np.ascontiguousarray(goldens.mvit_video())))
    np.testing.assert_allclose(logits, goldens.load("mvit/mvit_v2_tiny")["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["tsn", "tsm"])
def test_the_twin_of_a_mobilenetv2_gives_the_authors_logits(kind):
    shape = {"frames": 8, "width": 1.0, "depths": (1, 2, 3, 4, 3, 3, 1), "last_width": 1280}
    twin = make_twin(MobileNetV2Options(10, **shape, temporal_shift=kind == "tsm"))
    state_dict = {key: torch.from_numpy(goldens.weight(key, value.shape)) for key, value in twin.state_dict().items()}
    twin.load_state_dict(state_dict, strict=True)
    golden = goldens.load(f"mobilenetv2/{kind}_tiny")
    video = goldens.seeded_video(int(golden["input/seed"]), tuple(golden["input/shape"]))
    with torch.inference_mode():
        logits = twin(torch.from_numpy(video))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("mc3_tiny", "mixed"), ("r2plus1d_tiny", "2plus1d")])
def test_the_twin_of_a_video_resnet_gives_the_authors_logits(name, kind):
    twin = make_twin(VideoResNetOptions(10, (64, 128, 256, 512), (1, 1, 1, 1), kind, kind != "mixed"))
    state_dict = {key: torch.from_numpy(value) for key, value in goldens.video_resnet_weights(name).items()}
    twin.load_state_dict(state_dict, strict=True)
    golden = goldens.load(f"video_resnet/{name}")
    with torch.inference_mode():
        logits = twin(torch.from_numpy(goldens.video_resnet_video(golden)))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


MILLIONS = {
    "uniformer_s": 21.284,
    "uniformer_emim_s": 21.421,
    "uniformer_b": 49.697,
    "uniformer_emim_b": 50.015,
    "timesformer_b": 121.393,
}


@pytest.mark.parametrize("name", MILLIONS)
def test_the_twin_of_a_preset_has_as_many_parameters(name):
    model = motion_vit.create_model(name, num_classes=174)
    options = TimeSformerOptions if name.startswith("timesformer") else UniFormerOptions
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(options)}
    with torch.device("meta"):
        twin = make_twin(options(**fields))
    count = sum(parameter.numel() for parameter in twin.parameters())
    assert round(count / 1e6, 3) == MILLIONS[name]
