"""Options of the PyTorch twins of models; imports no framework."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class UniFormerOptions:
    """The shape of a UniFormer, as the fields of `motion_vit.models.uniformer.UniFormer` of the same names."""

    num_classes: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    head_channels: int
    window: int
    placement: str
    layer_scale: float | None = None
    mlp_ratio: float = 4.0


@dataclasses.dataclass(frozen=True)
class TimeSformerOptions:
    """The shape of a TimeSformer, as the fields of `motion_vit.models.timesformer.TimeSformer` of the same names."""

    num_classes: int
    frames: int
    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0


@dataclasses.dataclass(frozen=True)
class VideoMAEOptions:
    """The shape of a VideoMAE, as the fields of `motion_vit.models.videomae.VideoMAE` of the same names."""

    num_classes: int
    frames: int
    image_size: int
    tubelet_frames: int
    patch_size: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0


@dataclasses.dataclass(frozen=True)
class VideoResNetOptions:
    """The shape of a video ResNet, as the fields of `motion_vit.models.video_resnet.VideoResNet` of the same names."""

    num_classes: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    convolutions: str
    temporal_stride: bool
    max_pool: bool = False


TwinOptions = UniFormerOptions | TimeSformerOptions | VideoMAEOptions | VideoResNetOptions
