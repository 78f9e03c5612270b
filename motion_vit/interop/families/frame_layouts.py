"""Layouts of weights that PyTorch applies to single frames, or to means of frames."""

from motion_vit.interop.families.name_rules import Layout

FRAME_CONVOLUTION = Layout(
    "[out, in, h, w] to [h, w, in, out]", lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1)
)
FRAME_POINTWISE = Layout(
    "[out, in, 1, 1] to [in, out]",
    lambda x: x[:, :, 0, 0].transpose(1, 0),
    lambda x: x.transpose(1, 0)[:, :, None, None],
)
FRAME_DEPTHWISE = Layout(
    "[channels, 1, h, w] to [1, h, w, channels]",
    lambda x: x.transpose(1, 2, 3, 0),
    lambda x: x.transpose(3, 0, 1, 2),
)
TEMPORAL_CONVOLUTION = Layout(
    "[out, in, t] to [t, in, out]", lambda x: x.transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0)
)
TEMPORAL_POINTWISE = Layout(
    "[out, in, 1] to [in, out]", lambda x: x[:, :, 0].transpose(1, 0), lambda x: x.transpose(1, 0)[:, :, None]
)
