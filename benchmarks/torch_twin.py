"""Builds the PyTorch twin of a model."""

import torch
from torch_options import TimeSformerOptions, TwinOptions, VideoMAEOptions, VideoResNetOptions
from torch_timesformer import TimeSformer
from torch_uniformer import UniFormer
from torch_video_resnet import VideoResNet
from torch_videomae import VideoMAE


def make_twin(options: TwinOptions) -> UniFormer | TimeSformer | VideoMAE | VideoResNet:
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
    if isinstance(options, VideoResNetOptions):
        return VideoResNet(options).to(memory_format=torch.channels_last_3d).eval()
    return UniFormer(options).to(memory_format=torch.channels_last_3d).eval()
