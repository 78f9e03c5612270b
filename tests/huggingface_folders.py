"""Folders as transformers writes them, with weights that are functions of their names, for tests."""

import json
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import goldens
import numpy as np
import safetensors.numpy

LABELS = {str(number): f"act {number}" for number in range(10)}

PROCESSOR = {
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"shortest_edge": 64},
    "crop_size": {"height": 64, "width": 64},
}

_TABLES = ("cls_token", "position_embeddings", "time_embeddings")
"""Half a standard normal in the goldens of transformers, so that a wrong position shows."""

_SHARED = {
    "num_frames": 8,
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 384,
    "id2label": LABELS,
}

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "timesformer": {**_SHARED, "model_type": "timesformer", "architectures": ["TimesformerForVideoClassification"]},
    "videomae": {**_SHARED, "model_type": "videomae", "architectures": ["VideoMAEForVideoClassification"]},
    "vivit": {
        **{name: value for name, value in _SHARED.items() if name != "patch_size"},
        **{"model_type": "vivit", "architectures": ["VivitForVideoClassification"], "tubelet_size": [2, 16, 16]},
    },
}


def weights_of(model_type: str) -> dict[str, np.ndarray]:
    """The weights of the golden of an architecture, in the names of transformers."""
    if model_type == "videomae":
        return goldens.state_dict("videomae_hf_tiny")
    if model_type == "vivit":
        return goldens.vivit_weights("huggingface")
    shapes = json.loads((goldens.FOLDER / "huggingface" / "names.json").read_text())
    weights = {name: goldens.weight(name, tuple(shape)) for name, shape in shapes.items()}
    for name in weights:
        if name.endswith(_TABLES):
            seed = zlib.crc32(name.encode())
            weights[name] = np.float32(0.5) * np.random.default_rng(seed).standard_normal(shapes[name]).astype(
                np.float32
            )
    return weights


def write_folder(
    folder: pathlib.Path,
    model_type: str,
    *,
    shards: int = 1,
    processor: Mapping[str, Any] | None = PROCESSOR,
    weights: Mapping[str, np.ndarray] | None = None,
    **changes: Any,
) -> pathlib.Path:
    """Writes a folder.

    Args:
      folder: is made.
      model_type: of `CONFIGS`.
      shards: files of weights.
      processor: content of `preprocessor_config.json`; None leaves it out.
      weights: in place of those of the golden.
      **changes: fields of `config.json`; None leaves one out.
    """
    folder.mkdir(parents=True)
    fields = {**CONFIGS[model_type], **changes}
    config = {name: value for name, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    arrays = dict(weights_of(model_type) if weights is None else weights)
    if shards == 1:
        safetensors.numpy.save_file(arrays, folder / "model.safetensors", {"format": "pt"})
        return folder
    files = {name: f"model-{number % shards + 1:05}-of-{shards:05}.safetensors" for number, name in enumerate(arrays)}
    for file in set(files.values()):
        part = {name: array for name, array in arrays.items() if files[name] == file}
        safetensors.numpy.save_file(part, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return folder
