"""Loads a trained model from wherever it is: `motion_vit.load`.

A run, a weights folder, a folder of transformers, published weights by name, or a repository on the Hugging Face hub.
"""

import dataclasses
import logging
import os
import pathlib

import jax
from jax.sharding import Mesh

from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path, path_text
from motion_vit.interop.files.hub_library import HubError
from motion_vit.interop.importing.huggingface_folder import is_hugging_face_folder, read_hugging_face_folder
from motion_vit.interop.importing.label_file import read_label_file
from motion_vit.interop.importing.read_weights import ForeignModel, read_weights
from motion_vit.training.checkpoints.load_trained import is_checkpoint, load_folder, load_trained, not_found
from motion_vit.training.checkpoints.model_description import CONFIG_FILE
from motion_vit.training.checkpoints.packaged import packaged_checkpoints
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun, classifies_nothing
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import is_primary
from motion_vit.zoo.cache import OFFLINE_VARIABLE, is_offline, weights_cache
from motion_vit.zoo.https_download import DownloadError, download
from motion_vit.zoo.hub import Repository, download_file, download_folder, is_hub_name, parse_repository
from motion_vit.zoo.label_names import label_files
from motion_vit.zoo.table import PublishedWeights, datasets, published_weights

_logger = logging.getLogger(__name__)


def load(
    source: str | os.PathLike[str], *, which: Which = "last", ema: bool | None = None, mesh: Mesh | None = None
) -> TrainedModel:
    """Loads a trained model.

    Args:
      source: the workdir of a `motion-vit train` run; a weights folder, as written by `motion-vit export` and
        `motion-vit import`; or a folder as transformers writes it. Or a name: "demo", which is installed, one of
        published weights, which `motion-vit models` lists, or that of a repository on the Hugging Face hub,
        `hf:owner/name` or `hf:owner/name@revision`. A folder that holds a model comes before a name.
      which: of a run, the last checkpoint or the one of best validation accuracy. All else has one.
      ema: of a run, whether to load the averages of the parameters; the recipe's `evaluation.ema` by default. For a
        weights folder, None or the kind that it holds.
      mesh: devices that hold the variables, all by default.

    Returns:
      Model, variables, label names and recipe.

    Raises:
      UserError: there is no such model; it cannot be downloaded, cannot be read or is damaged; it is of an architecture
        that is not supported, or lacks the requested weights; or it is a pretrained run, which is no classifier.
    """
    found = load_any(source, which=which, ema=ema, mesh=mesh)
    if isinstance(found, PretrainedRun):
        raise classifies_nothing(local_path(source))
    return found


def load_any(
    source: str | os.PathLike[str], *, which: Which = "last", ema: bool | None = None, mesh: Mesh | None = None
) -> TrainedModel | PretrainedRun:
    """Loads a trained model, or a run that has trained no classifier.

    Args:
      source: as for `load`, and all others, too.
      which: likewise.
      ema: likewise.
      mesh: likewise.

    Returns:
      A classifier, or what was pretrained.

    Raises:
      UserError: as `load`, but for pretrained runs.
    """
    if isinstance(source, TrainedModel):
        raise UserError("the model is loaded already: take it as it is. A folder is loaded, or the name of one.")
    text = path_text(source, "the folder of a trained model")
    if is_hub_name(text):
        return _from_hub(parse_repository(text), which, ema, mesh)
    path = local_path(text)
    if is_hugging_face_folder(path):
        return _ready(_said(read_hugging_face_folder(path), text), text, which, ema, mesh)
    if is_checkpoint(path) or path.exists() or text in packaged_checkpoints():
        return load_folder(path, which=which, ema=ema, mesh=mesh)
    if text not in published_weights():
        raise UserError(not_found(path, published_weights()))
    row = published_weights()[text]
    return _ready(load_published(row), text, which, ema, mesh)


def as_trained(
    model: TrainedModel | str | os.PathLike[str],
    *,
    which: Which = "last",
    ema: bool | None = None,
    mesh: Mesh | None = None,
) -> TrainedModel:
    """Takes a trained model as it is, or reads it from where it is.

    Args:
      model: a trained model, or a folder or name as `load` takes it.
      which: as for `load`, where the model is read.
      ema: likewise.
      mesh: likewise.

    Returns:
      The model.

    Raises:
      UserError: as `load`.
    """
    if isinstance(model, TrainedModel):
        return model
    if not isinstance(model, str | os.PathLike):
        raise UserError(
            f"the model is given as {type(model).__name__}, but must be a TrainedModel, as motion_vit.load returns, "
            "or where one is: the workdir of a run, a weights folder, or the name of a model. A network of "
            "motion_vit.create_model has no weights; motion_vit.TrainedModel joins it with some."
        )
    return load(model, which=which, ema=ema, mesh=mesh)


def load_published(row: PublishedWeights) -> TrainedModel:
    """Loads published weights, downloads them before where they are not in a cache, and says what to know of them.

    Args:
      row: of the zoo.

    Returns:
      The model.

    Raises:
      UserError: as `load`.
    """
    place = _place(row)
    if row.format == "huggingface":
        found = read_hugging_face_folder(place, where=row.id, options=row.options, clips=row.preprocessing)
    else:
        file = label_files().get(row.label_list)
        labels = read_label_file(file) if file else None
        found = read_weights(place, row.model, options=row.model_options, label_names=labels, clips=row.preprocessing)
    _say([*_facts(row), *found.notes])
    return found.trained


def _place(row: PublishedWeights) -> pathlib.Path:
    """Finds the weights of a row in a cache, or downloads them."""
    cache = weights_cache(row.id)
    expected = cache / (row.file_name or CONFIG_FILE)
    if expected.exists():
        return expected if row.file_name else cache
    repository = Repository(row.repository, row.revision)
    try:
        if row.url:
            if is_offline():
                raise DownloadError(f"{row.url} is not in the cache, and {OFFLINE_VARIABLE} is set")
            download(row.url, expected, sha256=row.sha256)
            return expected
        if row.file:
            return download_file(repository, row.file, sha256=row.sha256)
        return download_folder(repository)
    except (DownloadError, HubError) as error:
        address = row.url or repository.address(row.file)
        what = address if row.file_name else f"the files of {address}"
        raise UserError(
            f"the weights {row.id} cannot be downloaded: {error}.\nOr download {what} where there is a network, and "
            f"put {'it' if row.file_name else 'them'} into {cache}."
        ) from error


def _from_hub(repository: Repository, which: Which, ema: bool | None, mesh: Mesh | None) -> TrainedModel:
    """Loads a repository: one of transformers, or one that this library has exported."""
    try:
        folder = download_folder(repository)
    except HubError as error:
        raise UserError(
            f"{repository} cannot be loaded: {error}.{_rows_of(repository)}\nOr download the files of "
            f"{repository.address()} where there is a network, into a folder, and give that folder."
        ) from error
    if not is_hugging_face_folder(folder):
        return load_trained(folder, which=which, ema=ema, mesh=mesh)
    found = read_hugging_face_folder(folder, where=str(repository))
    _say([f"{repository}: its licence is on {repository.address()}", *found.notes])
    return _ready(found.trained, str(repository), which, ema, mesh)


def _rows_of(repository: Repository) -> str:
    """Names the published weights that lie in a repository, for whom it cannot be loaded as a whole."""
    names = [row.id for row in published_weights().values() if row.repository == repository.name]
    return f" Of its files, these are loaded by name: {', '.join(names)}." if names else ""


def _said(found: ForeignModel, name: str) -> TrainedModel:
    if found.notes:
        _say([f"{name}:", *found.notes])
    return found.trained


def _facts(row: PublishedWeights) -> list[str]:
    """Lists what one must know of published weights."""
    title = datasets()[row.data].title
    facts = [f"{row.id}: weights of {row.repository or row.url}, of the licence {row.licence}"]
    if not row.commercial:
        facts.append("this licence FORBIDS commercial use")
    facts += [f"not verified: {fact}" for fact in row.unverified]
    if row.top1:
        facts.append(
            f"check them: motion-vit evaluate --checkpoint {row.id} --data DATA --clips {row.clips} "
            f"--crops {row.crops}; published are {row.top1:g} % top-1 on {title}"
        )
    return facts


def _say(facts: list[str]) -> None:
    if is_primary():
        _logger.warning("%s", "\n  ".join(facts))


def _ready(trained: TrainedModel, name: str, which: Which, ema: bool | None, mesh: Mesh | None) -> TrainedModel:
    """Places a model on the devices, if there was no choice of its weights to make."""
    if which != "last" or (ema is not None and ema != trained.averaged):
        raise UserError(
            f"{name} holds one state of the weights, so that there is no choice. Give the workdir of a run, or leave "
            "out the choice."
        )
    sharding = meshes.replicated(meshes.data_mesh() if mesh is None else mesh)
    return dataclasses.replace(trained, variables=jax.device_put(trained.variables, sharding))
