"""What a network in PyTorch must know to be the same as a model here; imports no framework."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TwinOptions:
    """The shape of a network, as the fields of `motion_vit.models.uniformer.UniFormer` of the same names."""

    num_classes: int
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    head_channels: int
    window: int
    placement: str
    layer_scale: float | None = None
    mlp_ratio: float = 4.0
