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
class VideoSwinOptions:
    """The shape of a Video Swin, as the fields of `motion_vit.models.video_swin.VideoSwin` of the same names."""

    num_classes: int
    tubelet_frames: int
    patch_size: int
    width: int
    depths: tuple[int, ...]
    head_channels: int
    attention_window: tuple[int, int, int]
    mlp_ratio: float = 4.0


@dataclasses.dataclass(frozen=True)
class SlowFastOptions:
    """The shape of a SlowFast, as the fields of `motion_vit.models.slowfast.SlowFast` of the same names."""

    num_classes: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    frame_ratio: int
    channel_ratio: int
    lateral_kernel: int
    fast_pathway: bool = True
    temporal_convolutions: str = "late"
    motion_module: str = "none"


@dataclasses.dataclass(frozen=True)
class X3DOptions:
    """The shape of an X3D of PyTorchVideo, as the fields of `motion_vit.models.x3d.X3D` of the same names."""

    num_classes: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    inner_ratio: float
    head_features: int


@dataclasses.dataclass(frozen=True)
class MViTOptions:
    """The shape of an MViT, as the fields of `motion_vit.models.mvit.MViT` of the same names."""

    num_classes: int
    frames: int
    image_size: int
    width: int
    depths: tuple[int, ...]
    heads: int
    key_stride: int


@dataclasses.dataclass(frozen=True)
class MobileNetV2Options:
    """The shape of a MobileNetV2, as the fields of `motion_vit.models.mobilenetv2.MobileNetV2` of the same names."""

    num_classes: int
    frames: int
    width: float
    depths: tuple[int, ...]
    last_width: int
    temporal_shift: bool


@dataclasses.dataclass(frozen=True)
class VideoResNetOptions:
    """The shape of a video ResNet, as the fields of `motion_vit.models.video_resnet.VideoResNet` of the same names."""

    num_classes: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    convolutions: str
    temporal_stride: bool
    max_pool: bool = False


TwinOptions = (
    UniFormerOptions
    | TimeSformerOptions
    | VideoMAEOptions
    | VideoSwinOptions
    | SlowFastOptions
    | X3DOptions
    | MViTOptions
    | MobileNetV2Options
    | VideoResNetOptions
)
