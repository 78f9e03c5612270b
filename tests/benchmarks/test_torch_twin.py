"""The PyTorch networks that benchmarks compare with are the authors' too, by their own numbers."""

import dataclasses

import goldens
import numpy as np
import pytest
import torch
from torch_options import TimeSformerOptions, UniFormerOptions, VideoMAEOptions, VideoResNetOptions
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
