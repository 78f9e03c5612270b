"""The description in a checkpoint: enough to rebuild the model and to name its predictions."""

import importlib.metadata
import json
from typing import Any

from ml_collections import ConfigDict

from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.training.recipe.config import to_json


def describe(config: ConfigDict, source: ClipSource) -> dict[str, Any]:
    """Describes a run, for its checkpoints.

    Args:
      config: the recipe.
      source: the training clips.

    Returns:
      Nested mapping for JSON.
    """
    return {
        "label_names": list(source.label_names),
        "videos": len(source),
        "frame_rate": source.frame_rate,
        "config": json.loads(to_json(config)),
        "library_version": importlib.metadata.version("motion_vit"),
    }
