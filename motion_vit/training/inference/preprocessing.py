"""Describes how a video becomes inputs of a model, and logits probabilities, for programs without this library.

The description is derived from what `predict` itself reads: the clip options, the normalisation and the views of the
recipe. Its formulas are Python expressions, so that a test can compare them with the library's functions.
`docs/interop.md` describes each field.
"""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.frame_clock import EQUALLY_NEAR
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.losses.evidence import EvidenceName
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.evidence import trained_evidence

FORMAT = "motion_vit preprocessing"
SCHEMA_VERSION = 1
"""Raised whenever a reader of earlier versions would compute something else."""

EVIDENCE_SCHEMA_VERSION = 2
"""That of models that were trained with evidence: readers of the first version would take the softmax."""

_MEAN_LOGITS = "mean of the logits of all views"
_CONCENTRATIONS: dict[EvidenceName, str] = {
    "exp": "1 + exp(clip(logits, -10, 10))",
    "relu": "1 + maximum(logits, 0)",
    "softplus": "1 + log(1 + exp(logits))",
}

_CLOCK_TICKS = "max(1, round(seconds * fps))"
_SEGMENT_TICK = "min(round((n - 1) / frames * i) + int((n - 1) / frames / (clips + 1) * (clip + 1)), n - 1)"
_DENSE_START = "(slack // 2 if clips == 1 else round(slack * clip / (clips - 1)))"
_DENSE_SLACK = "max(0, n - ((frames - 1) * stride + 1))"
_DENSE_TICK = f"min({_DENSE_START} + stride * i, n - 1)"


def preprocessing_of(config: ConfigDict, label_names: Sequence[str]) -> dict[str, Any]:
    """Describes what `predict` does before and after the model.

    Args:
      config: the recipe.
      label_names: name of each class, in the order of the logits.

    Returns:
      A nested mapping for JSON.

    Raises:
      UserError: a value of the recipe is out of its range.
    """
    options = clip_options(config)
    pixels = normalization(config)
    evidence = trained_evidence(config)
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION if evidence is None else EVIDENCE_SCHEMA_VERSION,
        "frames": _frames(options),
        "decoding": _decoding(options.size),
        "resize": _resize(options.size),
        "crop": _crop(options.size, config.evaluation.crops),
        "views": {
            "clips": config.evaluation.clips,
            "crops": config.evaluation.crops,
            "order": "clip by clip; the crop changes fastest",
        },
        "normalisation": {
            "formula": "(pixel / 255 - mean) / std",
            "dtype": "float32",
            "mean": list(pixels.mean),
            "std": list(pixels.std),
            "channel_order": pixels.channel_order,
        },
        "probabilities": _probabilities(evidence),
        "label_names": list(label_names),
    }


def _probabilities(evidence: EvidenceName | None) -> dict[str, Any]:
    """Describes what is made of logits, averaged over the views."""
    if evidence is None:
        return {"average": "logits", "formula": f"softmax({_MEAN_LOGITS})"}
    return {
        "average": "logits",
        "evidence": evidence,
        "logits": _MEAN_LOGITS,
        "concentration": _CONCENTRATIONS[evidence],
        "formula": "concentration / sum(concentration)",
        "uncertainty": "len(concentration) / sum(concentration)",
    }


def _frames(options: ClipOptions) -> dict[str, Any]:
    """Describes which frames of a video a clip has."""
    dense = options.sampling == "dense"
    return {
        "frames": options.decoded_frames,
        "sampling": options.sampling,
        "stride": options.stride if dense else None,
        "fps": options.fps,
        "ticks": _CLOCK_TICKS if options.fps else "number of frames",
        "slack": _DENSE_SLACK if dense else None,
        "tick": _DENSE_TICK if dense else _SEGMENT_TICK,
        "frame": "nearest in time to tick / fps" if options.fps else "tick",
        "equally_near": EQUALLY_NEAR if options.fps else None,
        "short_video": "frames repeat, as the formula says",
    }


def _decoding(size: int) -> dict[str, Any]:
    """Describes how frames become RGB, in the same pass as they are scaled down."""
    scale = f"min(1, {size} / min(w, h))"
    return {
        "stream": "the first of video that is no cover picture, and not of a single frame if there is another",
        "call": 'frame.reformat(width, height, "rgb24")',
        "library": "libswscale of FFmpeg, by PyAV",
        "pixel_format": "rgb24",
        "matrix": "of the file, or BT.601 where it says none",
        "range": "of the file, or limited where it says none",
        "width": f"max(1, round(w * {scale}))",
        "height": f"max(1, round(h * {scale}))",
        "interpolation": "bilinear",
        "antialias": True,
        "orientation": "display matrix of the file, to quarter turns and mirrorings, after this",
        "pixel_aspect": "ignored",
    }


def _resize(size: int) -> dict[str, Any]:
    """Describes what enlarges small pictures, and changes no others."""
    return {
        "short_side": size,
        "call": "cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)",
        "library": "OpenCV",
        "width": f"{size} if w < h else {size} * w // h",
        "height": f"{size} if h <= w else {size} * h // w",
        "interpolation": "bilinear",
        "antialias": False,
        "dtype": "uint8",
    }


def _crop(size: int, crops: int) -> dict[str, Any]:
    """Describes where the squares are cut."""
    return {
        "size": size,
        "places": [0.5] if crops == 1 else [0.0, 0.5, 1.0],
        "top": f"ceil((h - {size}) * (place if h > w else 0.5))",
        "left": f"ceil((w - {size}) * (0.5 if h > w else place))",
    }
