"""Builds the PyTorch twin of a model."""

import torch
from torch_mobilenetv2 import MobileNetV2
from torch_mvit import MViT
from torch_options import (
    MobileNetV2Options,
    MViTOptions,
    SlowFastOptions,
    TimeSformerOptions,
    TwinOptions,
    UniFormerOptions,
    VideoMAEOptions,
    VideoResNetOptions,
    VideoSwinOptions,
    X3DOptions,
)
from torch_slowfast import SlowFast
from torch_timesformer import TimeSformer
from torch_uniformer import UniFormer
from torch_video_resnet import VideoResNet
from torch_video_swin import VideoSwin
from torch_videomae import VideoMAE
from torch_x3d import X3D

Twin = UniFormer | TimeSformer | VideoMAE | VideoSwin | SlowFast | X3D | MViT | MobileNetV2 | VideoResNet

_OF_CLIPS, _OF_IMAGES = torch.channels_last_3d, torch.channels_last

_TWINS: dict[type[TwinOptions], tuple[type[Twin], torch.memory_format]] = {
    UniFormerOptions: (UniFormer, _OF_CLIPS),
    TimeSformerOptions: (TimeSformer, _OF_IMAGES),
    VideoMAEOptions: (VideoMAE, _OF_CLIPS),
    VideoSwinOptions: (VideoSwin, _OF_CLIPS),
    SlowFastOptions: (SlowFast, _OF_CLIPS),
    X3DOptions: (X3D, _OF_CLIPS),
    MViTOptions: (MViT, _OF_CLIPS),
    MobileNetV2Options: (MobileNetV2, _OF_IMAGES),
    VideoResNetOptions: (VideoResNet, _OF_CLIPS),
}
"""By its options, the network, and how its convolutions lie in memory."""


def make_twin(options: TwinOptions) -> Twin:
    """Builds a network with convolutions in channels_last_3d, those of images in channels_last, in evaluation mode.

    Args:
      options: shape and kind of the network.

    Returns:
      The network, on the CPU, with random weights.
    """
    network, memory_format = _TWINS[type(options)]
    return network(options).to(memory_format=memory_format).eval()
