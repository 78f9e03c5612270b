"""Networks of torchvision with random weights: imported, they give the same logits here."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.video_model import VideoModel

torch = pytest.importorskip("torch", reason="needs PyTorch (the extra `torch`)")
models = pytest.importorskip("torchvision.models", reason="needs torchvision (the extra `peers`)")

CLASSES = 7
# Names of buffers that say where windows are, and so are no weights.
WINDOW_PLACES = "relative_position_index"


def assert_same_logits(network: Any, model: VideoModel, shape: tuple[int, ...]) -> None:
    """Draws all weights of a network anew, imports them, and compares what both say of two clips `[t, h, w, 3]`."""
    torch.manual_seed(0)
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(torch.rand(buffer.shape) * 0.5)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items() if WINDOW_PLACES not in name}
    variables, report = load_torch(model, weights)
    assert report.complete
    clips = np.random.default_rng(3).standard_normal((2, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(clips.transpose(0, 4, 1, 2, 3))).numpy()
    logits = jax.jit(model.apply)(variables, jnp.asarray(clips))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("ours", "theirs", "convolution", "stem"),
    [
        ("r3d_18", "r3d_18", ("Conv3DSimple",) * 4, "BasicStem"),
        ("mc3_18", "mc3_18", ("Conv3DSimple", *("Conv3DNoTemporal",) * 3), "BasicStem"),
        ("r2plus1d_18", "r2plus1d_18", ("Conv2Plus1D",) * 4, "R2Plus1dStem"),
    ],
)
def test_resnets(ours: str, theirs: str, convolution: tuple[str, ...], stem: str) -> None:
    kinds = models.video.resnet
    network = kinds.VideoResNet(
        kinds.BasicBlock,
        [getattr(kinds, name) for name in convolution],
        [1, 2, 1, 1],
        getattr(kinds, stem),
        num_classes=CLASSES,
    )
    model = motion_vit.create_model(ours, num_classes=CLASSES, depths=(1, 2, 1, 1), frames=6, image_size=40)
    assert_same_logits(network, model, (6, 40, 40, 3))


@pytest.mark.parametrize(
    ("window", "depths", "clip"), [((8, 7, 7), (2, 2), (6, 44, 60)), ((2, 3, 4), (2, 4), (8, 32, 32))]
)
def test_video_swin(window: tuple[int, int, int], depths: tuple[int, ...], clip: tuple[int, int, int]) -> None:
    network = models.video.swin_transformer.SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=24,
        depths=list(depths),
        num_heads=[2, 4],
        window_size=list(window),
        num_classes=CLASSES,
    )
    model = motion_vit.create_model(
        "video_swin_tiny",
        num_classes=CLASSES,
        width=24,
        head_channels=12,
        depths=depths,
        attention_window=window,
        frames=clip[0],
        image_size=32,
    )
    assert_same_logits(network, model, (*clip, 3))


@pytest.mark.parametrize(("key_stride", "size", "frames"), [(4, 64, 6), (2, 32, 4)])
def test_mvit(key_stride: int, size: int, frames: int) -> None:
    # Two stages of one block and of two; the second begins by pooling queries and doubling heads and width.
    blocks = models.video.mvit.MSBlockConfig
    kernel = {"kernel_q": [3, 3, 3], "kernel_kv": [3, 3, 3]}
    later = [1, key_stride // 2, key_stride // 2]
    settings = [
        blocks(1, 24, 24, **kernel, stride_q=[1, 1, 1], stride_kv=[1, key_stride, key_stride]),
        blocks(2, 24, 48, **kernel, stride_q=[1, 2, 2], stride_kv=later),
        blocks(2, 48, 48, **kernel, stride_q=[1, 1, 1], stride_kv=later),
    ]
    network = models.video.mvit.MViT(
        spatial_size=(size, size),
        temporal_size=frames,
        block_setting=settings,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        num_classes=CLASSES,
    )
    model = motion_vit.create_model(
        "mvit_v2_tiny",
        num_classes=CLASSES,
        width=24,
        depths=(1, 2),
        heads=1,
        key_stride=key_stride,
        frames=frames,
        image_size=size,
    )
    assert_same_logits(network, model, (frames, size, size, 3))
