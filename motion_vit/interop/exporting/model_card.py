"""`README.md`, the model card of an export: what the model is, how well it does, and its inputs to the pixel.

That of the format huggingface begins with the Hub's metadata (https://huggingface.co/docs/hub/model-cards).
"""

import json
from collections.abc import Mapping
from typing import Any

from motion_vit.counts import counted
from motion_vit.interop.exporting.example_script import EXAMPLE_FILE, LIBRARIES
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.interop.exporting.interface import PLAIN, Interface
from motion_vit.interop.exporting.preprocessing_file import PREPROCESSING_FILE, describe_preprocessing
from motion_vit.outside_text import for_markdown, visible
from motion_vit.training.checkpoints.model_description import CONFIG_FILE
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel

CARD_FILE = "README.md"

_SHOWN_LABELS = 20
_LICENCE = "Set `license` above to the licence of the weights before you publish them."
_TRANSFORMERS = """With transformers:

```python
from transformers import AutoModelForVideoClassification

model = AutoModelForVideoClassification.from_pretrained("THIS_FOLDER")
```"""
_METRICS = {"top1": "top-1 accuracy", "top5": "top-5 accuracy"}


def model_card(
    trained: TrainedModel,
    dtype: WeightDtype = "float32",
    file_format: str = "huggingface",
    interface: Interface = PLAIN,
    *,
    transformers: bool = False,
) -> str:
    """Writes the model card.

    Args:
      trained: its `evaluation` becomes the card's results.
      dtype: stored form of the weights.
      file_format: a name of `FORMATS`.
      interface: what the program takes and gives.
      transformers: whether that library loads the folder.

    Returns:
      Markdown, for the Hub with YAML front matter.
    """
    parts = [
        _front_matter(trained) if file_format == "huggingface" else "",
        f"# {for_markdown(_title(trained))}",
        _summary(trained, dtype),
        _LICENCE if file_format == "huggingface" else "",
        _results(trained.evaluation),
        _inputs(describe_preprocessing(trained, None, interface)),
        _usage(file_format),
        _TRANSFORMERS if transformers else "",
        _labels(trained),
    ]
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
        "the whole training recipe."
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
    frames, decoding, resize, crop = (preprocessing[name] for name in ("frames", "decoding", "resize", "crop"))
    views, pixels = preprocessing["views"], preprocessing["normalisation"]
    order = "red, green, blue" if pixels["channel_order"] == "rgb" else "blue, green, red"
    steps = [
        f"Clips: {counted(views['clips'], 'clip')} of {_sampling(frames)}. Clip `clip` of `clips` has the ticks "
        f"`{frames['tick']}` for `i` from 0 to {frames['frames'] - 1}, with `frames = {frames['frames']}`"
        + (f", `stride = {frames['stride']}` and `slack = {frames['slack']}`" if frames["slack"] else "")
        + f". `n` is {_ticks(frames)}. Short videos repeat frames.",
        f"Colours: `{decoding['call']}` of PyAV gives RGB in 8 bits, with the matrix {decoding['matrix']}, and the "
        f"range {decoding['range']}. In the same pass pictures are scaled down, bilinearly and with antialiasing, to "
        f"the width `{decoding['width']}` and the height `{decoding['height']}`. The display matrix then turns them "
        "upright.",
        f"Size: `{resize['call']}` to the width `{resize['width']}` and the height `{resize['height']}`, which changes "
        "small pictures alone.",
        f"Crops: {counted(views['crops'], 'square')} of {crop['size']} x {crop['size']} pixels, the upper left corner "
        f"at `top = {crop['top']}` and `left = {crop['left']}`, for `place` in {crop['places']}.",
        f"Normalisation: `{pixels['formula']}` in {pixels['dtype']} with the mean {pixels['mean']} and the standard "
        f"deviation {pixels['std']} of red, green, blue. The axes are batch, time, height, width, channel; the "
        f"channels lie in the order {order}."
        + ("" if preprocessing["input"]["normalised"] else " The program does this: give it RGB from 0 to 255, uint8."),
        f"Result: {_result(preprocessing['probabilities'])}.",
    ]
    return (
        f"## Inputs\n\n`{PREPROCESSING_FILE}` has all of this for programs, and `{EXAMPLE_FILE}` does it. Formulas are "
        "Python, whose `round` takes halves to the even number; `w` and `h` are the width and height of a picture.\n\n"
        + "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    )


def _result(probabilities: Mapping[str, str]) -> str:
    if "evidence" not in probabilities:
        return f"`{probabilities['formula']}`"
    return (
        f"the model was trained with evidence. With the {probabilities['logits']} and `concentration = "
        f"{probabilities['concentration']}`, probabilities are `{probabilities['formula']}`. The uncertainty, 1 of a "
        f"video of which it knows nothing, is `{probabilities['uncertainty']}`. Programs give that of each view as a "
        "second output"
    )


def _sampling(frames: Mapping[str, Any]) -> str:
    count = counted(frames["frames"], "frame")
    if frames["sampling"] == "segment":
        return f"{count} spread over the whole video"
    return f"{count} with a stride of {frames['stride']}" + (
        f" at {frames['fps']:g} ticks a second" if frames["fps"] else ""
    )


def _ticks(frames: Mapping[str, Any]) -> str:
    if not frames["fps"]:
        return "the number of frames in the video, and a tick the number of a frame"
    return (
        f"`{frames['ticks']}` with `fps = {frames['fps']:g}` and the duration `seconds`; the frame is the one nearest "
        f"in time to `tick / fps`, the earlier of two that are equally near within {frames['equally_near']:g} s"
    )


def _usage(file_format: str) -> str:
    chosen = FORMATS[file_format]
    run = f"## Use\n\n```bash\npip install {LIBRARIES} '{chosen.runtime}'\npython {EXAMPLE_FILE} video.mp4\n```"
    if chosen.runner != "run_weights":
        return run
    return (
        f"{run}\n\nThe same with the library:\n\n"
        "```bash\nmotion-vit predict video.mp4 --checkpoint THIS_FOLDER\n```\n\n"
        "```python\nimport motion_vit\n\n"
        'trained = motion_vit.load("THIS_FOLDER")\n'
        "logits = trained.model.apply(trained.variables, clips)\n```"
    )


def _labels(trained: TrainedModel) -> str:
    shown = ", ".join(map(for_markdown, trained.label_names[:_SHOWN_LABELS]))
    more = len(trained.label_names) - _SHOWN_LABELS
    rest = f", and {more} more in `{CONFIG_FILE}`" if more > 0 else ""
    return f"## Classes\n\n{shown}{rest}."
