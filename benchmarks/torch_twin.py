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


def make_twin(
    options: TwinOptions,
) -> UniFormer | TimeSformer | VideoMAE | VideoSwin | SlowFast | X3D | MViT | MobileNetV2 | VideoResNet:
    """Builds a network with convolutions in channels_last_3d, those of images in channels_last, in evaluation mode.

    Args:
      options: shape and kind of the network.

    Returns:
      The network, on the CPU, with random weights.
    """
    if isinstance(options, TimeSformerOptions):
        return TimeSformer(options).to(memory_format=torch.channels_last).eval()
    if isinstance(options, VideoMAEOptions):
        return VideoMAE(options).to(memory_format=torch.channels_last_3d).eval()
    if isinstance(options, VideoSwinOptions):
        return VideoSwin(options).to(memory_format=torch.channels_last_3d).eval()
    if isinstance(options, SlowFastOptions):
        return SlowFast(options).to(memory_format=torch.channels_last_3d).eval()
    if isinstance(options, X3DOptions):
        return X3D(options).to(memory_format=torch.channels_last_3d).eval()
    if isinstance(options, MViTOptions):
        return MViT(options).to(memory_format=torch.channels_last_3d).eval()
    if isinstance(options, MobileNetV2Options):
        return MobileNetV2(options).to(memory_format=torch.channels_last).eval()
    if isinstance(options, VideoResNetOptions):
        return VideoResNet(options).to(memory_format=torch.channels_last_3d).eval()
    return UniFormer(options).to(memory_format=torch.channels_last_3d).eval()
