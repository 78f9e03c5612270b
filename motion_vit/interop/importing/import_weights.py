"""Imports a weights file of another framework as a weights folder, which every command takes."""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from motion_vit.interop.files.torch_files import Source
from motion_vit.interop.importing.inflation import Inflation
from motion_vit.interop.importing.read_weights import read_weights
from motion_vit.interop.importing.report import ImportReport
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.checkpoints.whole_folder import check_new_or_empty

REPORT_FILE = "import_report.json"


@dataclasses.dataclass(frozen=True)
class ImportedWeights:
    """The result of an import.

    Attributes:
      folder: the weights folder.
      model: name of the model.
      trained: the model with its weights.
      report: fate of every weight.
      notes: assumptions and remarks, as sentences.
    """

    folder: str
    model: str
    trained: TrainedModel
    report: ImportReport
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `import_report.json`."""
        return {"folder": self.folder, "model": self.model, "notes": self.notes, **self.report.to_dict()}

    def __str__(self) -> str:
        """Formats the report, the notes and the folder."""
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([str(self.report), *notes, f"{self.model} in {self.folder}"])


def import_weights(
    source: Source,
    model_name: str,
    folder: str | os.PathLike[str],
    *,
    options: Mapping[str, Any] | None = None,
    label_names: Sequence[str] | None = None,
    clips: Mapping[str, Any] | None = None,
    anew: Collection[str] = (),
    inflation: Inflation | None = None,
    resize: bool = False,
    state: str | None = None,
    strict: bool = True,
    seed: int = 0,
) -> ImportedWeights:
    """Reads foreign weights and writes them as a weights folder, atomically.

    Args:
      source: as `motion_vit.interop.importing.state_dict.load_torch` takes it.
      model_name: one of `motion_vit.list_models()`.
      folder: a new or empty folder.
      options: options of the model. `num_classes` defaults to the number of labels, or of classes in the weights, and
        those that networks of one name differ in (`adopted` of the model's family) to what the weights tell.
      label_names: name of each class, in the order of the logits; by default "class 0" and so on.
      clips: preprocessing that the weights expect: `channel_order`, `mean`, `std`, `sampling`, `stride`, as in the
        recipe's `data`. By default as the authors of the model trained theirs.
      anew: parts of the model that start anew, as `load_torch` takes them.
      inflation: method of turning image convolutions into convolutions of clips; None refuses them.
      resize: take position and time embeddings of other sizes, by their nearest entries, and tables of relative
        positions, linearly.
      state: entry of the source to take, such as "model_ema"; by default the weights rather than their averages.
      strict: refuse weights that do not fit; otherwise skip them.
      seed: of initial values.

    Returns:
      The written model and the report.

    Raises:
      CheckpointImportError: weights do not fit the model.
      UserError: an argument is not as expected; nothing was written.
    """
    check_new_or_empty(folder)
    found = read_weights(
        source,
        model_name,
        options=options,
        label_names=label_names,
        clips=clips,
        anew=anew,
        inflation=inflation,
        resize=resize,
        state=state,
        strict=strict,
        seed=seed,
    )
    imported = ImportedWeights(os.fspath(folder), model_name, found.trained, found.report, found.notes)
    report_text = json.dumps(imported.to_dict(), indent=2) + "\n"
    write_weights_folder(folder, found.trained, files={REPORT_FILE: report_text})
    return imported
