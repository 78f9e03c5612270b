"""Export as a Hugging Face repository: a weights folder with a model card, ready to upload.

Card format: https://huggingface.co/docs/hub/model-cards. `motion_vit.load` reads the folder, before and after.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from motion_vit.counts import counted
from motion_vit.files.atomic_file import write_text
from motion_vit.interop.exporting.safetensors_folder import export_safetensors
from motion_vit.outside_text import for_markdown, visible
from motion_vit.training.checkpoints.model_description import CONFIG_FILE, description_of
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel

CARD_FILE = "README.md"

_SHOWN_LABELS = 20
_METRICS = {"top1": "top-1 accuracy", "top5": "top-5 accuracy"}


def export_huggingface(trained: TrainedModel, folder: pathlib.Path, *, dtype: WeightDtype) -> dict[str, Any]:
    """Writes `model.safetensors` and the model card `README.md`.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      dtype: stored form of the weights.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: the weights are not finite, or do not fit `dtype`.
    """
    entry = export_safetensors(trained, folder, dtype=dtype)
    write_text(folder / CARD_FILE, model_card(trained, dtype))
    return {**entry, "format": "huggingface", "card": CARD_FILE}


def model_card(trained: TrainedModel, dtype: WeightDtype = "float32") -> str:
    """Writes the model card, which the Hub shows.

    Args:
      trained: its `evaluation` becomes the card's results.
      dtype: stored form of the weights.

    Returns:
      Markdown with YAML front matter.
    """
    description = description_of(trained, dtype)
    parts = [
        _front_matter(trained),
        f"# {for_markdown(_title(trained))}",
        _summary(trained, dtype),
        _results(trained.evaluation),
    ]
    parts += [_inputs(description["preprocessing"]), _usage(), _labels(trained)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(trained: TrainedModel) -> str:
    """Returns the Hub's metadata as JSON, which is valid YAML and quotes label names safely."""
    metadata: dict[str, Any] = {
        # Who trained the weights, and on what, decides it.
        "license": "unknown",
        "library_name": "motion_vit",
        "pipeline_tag": "video-classification",
        "tags": ["video-classification", "action-recognition", "jax", "flax", trained.config.model.name],
    }
    metrics = [
        {"type": "accuracy", "name": title, "value": round(trained.evaluation[name], 6)}
        for name, title in _METRICS.items()
        if name in trained.evaluation
    ]
    if metrics:
        data = visible(trained.evaluation.get("data") or "held-out videos")
        result = {
            "task": {"type": "video-classification"},
            "dataset": {"type": data, "name": data},
            "metrics": metrics,
        }
        metadata["model-index"] = [{"name": _title(trained), "results": [result]}]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in metadata.items()]
    return "\n".join(["---", *lines, "---"])


def _title(trained: TrainedModel) -> str:
    own = visible(trained.config.name)
    return trained.config.model.name if own == "run" else f"{own} ({trained.config.model.name})"


def _summary(trained: TrainedModel, dtype: WeightDtype) -> str:
    kind = "averages of the parameters over the training steps" if trained.averaged else "parameters"
    steps = f" after {trained.step} training steps" if trained.step else ""
    return (
        f"A video classifier of {counted(len(trained.label_names), 'class')}, `{trained.config.model.name}` of "
        f"motion_vit, a JAX/Flax library for video transformers that see motion. The weights are the {kind}{steps}, "
        f"stored as {dtype}. `{CONFIG_FILE}` holds every option of the model, the label names, the preprocessing and "
        "the whole training recipe.\n\n"
        "Set `license` above to the licence of the weights before you publish them."
    )


def _results(evaluation: Mapping[str, Any]) -> str:
    rows = [f"| {title} | {100 * evaluation[name]:.2f} % |" for name, title in _METRICS.items() if name in evaluation]
    if not rows:
        return "## Evaluation\n\nNo accuracy has been reported for these weights."
    facts = [counted(evaluation["videos"], "video") if "videos" in evaluation else ""]
    facts += [f"of {for_markdown(evaluation['data'])}" if evaluation.get("data") else ""]
    if "clips" in evaluation and "crops" in evaluation:
        facts += [f"with {evaluation['clips']} clips x {evaluation['crops']} crops each"]
    measured = " ".join(fact for fact in facts if fact)
    said = f"Measured on {measured}.\n\n" if measured else ""
    return "\n".join([f"## Evaluation\n\n{said}| metric | value |", "|---|---|", *rows])


def _inputs(preprocessing: Mapping[str, Any]) -> str:
    order = "red, green, blue" if preprocessing["channel_order"] == "rgb" else "blue, green, red"
    frames = preprocessing["frames"] + preprocessing["extra_frames"]
    if preprocessing["sampling"] == "segment":
        sampling = f"{counted(frames, 'frame')} spread over the whole video"
    else:
        sampling = f"{counted(frames, 'frame')} with a stride of {preprocessing['stride']}"
        sampling += f" at {preprocessing['fps']:g} frames a second" if preprocessing["fps"] else ""
    size = preprocessing["image_size"]
    return (
        "## Inputs\n\n"
        f"Clips of {sampling}; each frame resized so that its short side has {size} pixels, and the middle "
        f"{size} x {size} pixels cropped. Pixels from 0 to 1, minus the mean {preprocessing['mean']}, divided by the "
        f"standard deviation {preprocessing['std']} (of red, green, blue). The axes are batch, time, height, width, "
        f"channel; the channels lie in the order {order}."
    )


def _usage() -> str:
    return (
        "## Use\n\n```bash\nmotion-vit predict video.mp4 --checkpoint THIS_FOLDER\n```\n\n"
        "```python\nimport motion_vit\n\n"
        'trained = motion_vit.load("THIS_FOLDER")\n'
        "logits = trained.model.apply(trained.variables, clips)\n```"
    )


def _labels(trained: TrainedModel) -> str:
    shown = ", ".join(map(for_markdown, trained.label_names[:_SHOWN_LABELS]))
    more = len(trained.label_names) - _SHOWN_LABELS
    rest = f", and {more} more in `{CONFIG_FILE}`" if more > 0 else ""
    return f"## Classes\n\n{shown}{rest}."
