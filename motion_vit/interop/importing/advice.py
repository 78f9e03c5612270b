"""Advice for weights that do not fit a model, derived from the weights."""

from collections.abc import Collection, Mapping
from typing import Any

from motion_vit.interop.families.registry import hugging_face_classes, model_family
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.interop.importing.inflation import inflates
from motion_vit.interop.importing.report import ImportReport
from motion_vit.interop.importing.resizing import resizes
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.options import model_options
from motion_vit.models.registry import create_model, list_models
from motion_vit.models.video_model import VideoModel

_OPENMMLAB_HEAD = "cls_head."

_LEAST_SHARE = 0.1
"""Of the weights of a source, those that a model must know to be advised of other options; a few names, such as that of
the classifier, are the same in many networks."""


def import_advice(model: VideoModel, report: ImportReport, shapes: Mapping[str, Shape], anew: Collection[str]) -> str:
    """Describes the changes that would make weights fit.

    Args:
      model: structure that the weights do not fit.
      report: missing, unexpected and misshapen weights.
      shapes: names and shapes of the weights in the source.
      anew: parts that start anew already.

    Returns:
      Sentences.
    """
    if any(name.startswith(_OPENMMLAB_HEAD) for name in shapes):
        return (
            "The names backbone. and cls_head. are those of OpenMMLab (MMAction2), which calls the layers otherwise "
            "than the authors of the models. Take the checkpoint that the authors published, or rename the weights to "
            "the names above."
        )
    known = len(report.loaded) + len(report.misshapen)
    if known < _LEAST_SHARE * (known + len(report.unexpected)) or not known:
        return (
            f"{'Hardly any' if known else 'None'} of these weights belong to this model. Check that the file and the "
            f"model are the ones you mean.{_architecture(shapes)}"
        )
    family = model_family(model)
    parts = {name: part for name, part in family.parts.items() if name not in anew}
    decided = {option for name in anew for option in family.parts[name].options}
    found = {name: value for name, value in family.options(shapes).items() if name not in decided}
    own = model_options(model)
    differing = {
        name: value for name, value in found.items() if _differs(value, own[name], exactly=name in family.structure)
    }
    advice = []
    if any(name in differing for name in family.structure) and (names := _models_with(model, found)):
        advice.append(f"The weights are of another network, {' or '.join(names)}. Create that one.")
    elif differing:
        options = ", ".join(f"{name}={value}" for name, value in differing.items())
        advice.append(f"The weights are of a model with {options}. Create it so.")
        advice += [
            f"Or --new {name}, in Python anew=[{name!r}], starts {part.description} anew."
            for name, part in parts.items()
            if any(option in differing for option in part.options)
        ]
    if any(inflates(*pair) for pair in report.misshapen.values()):
        advice.append(
            "The convolutions of the source are of images. --inflate average, in Python inflation='average', makes "
            "convolutions of clips of them, as UniFormer's authors do."
        )
    if any(resizes(name, *pair) for name, pair in report.misshapen.items()):
        advice.append(
            "The embeddings of the source are of other clips. --resize, in Python resize=True, takes their nearest "
            "entries."
        )
    advice.append(
        "Or --partial, in Python strict=False, keeps the model's initial values wherever weights do not fit."
        if advice
        else f"Create the model with the options these weights were trained with ({', '.join(family.structure)}, ...), "
        "or pass --partial, in Python strict=False, to keep the model's initial values where weights do not fit."
    )
    return "\n".join(advice)


def _architecture(shapes: Mapping[str, Shape]) -> str:
    """Says which architecture of transformers the names are of, as a sentence to end a message with; "" for none."""
    for prefix, model_class in hugging_face_classes().items():
        if any(name.startswith(f"{prefix}.") for name in shapes):
            return f" They are called as transformers calls those of a {model_class.__name__}."
    return ""


def _models_with(model: VideoModel, found: Mapping[str, Any]) -> list[str]:
    """Lists the named models of a class whose structure is that of the weights."""
    backbone = model.backbone if isinstance(model, MotionPrompted) else model
    named = {name: create_model(name) for name in list_models()}
    structure = model_family(model).structure
    return [
        name
        for name, candidate in named.items()
        if type(candidate) is type(backbone)
        and all(getattr(candidate, option) == found[option] for option in structure if option in found)
    ]


def _differs(found: Any, given: Any, *, exactly: bool) -> bool:
    """Tells if an option differs. Shapes tell no rates, such as of layer scale, only whether there is one.

    Factors of the network's size they do tell, which are compared `exactly`.
    """
    if isinstance(found, float) and isinstance(given, float) and not exactly:
        return False
    return bool(found != given)
