"""Probes of a model: features are what its classifier is given, and other videos are classified by them."""

import json
import pathlib

import jax
import numpy as np
import pytest
from small_trained_model import small_trained_model

from motion_vit import UserError, create_model
from motion_vit.cli import main
from motion_vit.data.sources.open_source import open_source
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.evaluation.evaluate import ViewOptions, evaluate
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.probing.features import FeatureReader, classifier_input
from motion_vit.training.probing.probe import probe_checkpoint
from motion_vit.training.recipe.clips import clip_options


def test_features_times_the_weights_of_the_classifier_are_the_logits(lists: dict[str, pathlib.Path]) -> None:
    trained, mesh = small_trained_model(), meshes.data_mesh()
    source = open_source(lists["validation"], default_split="validation")
    views = ViewOptions(batch_size=8, clips=2)
    found = FeatureReader(trained, views, mesh)(source)
    assert found.seen.all()
    head = trained.variables["params"]["head"]
    logits = evaluate(
        trained.logits_function(mesh), trained.variables, source, clip_options(trained.config), views, mesh=mesh
    ).scored
    np.testing.assert_allclose(found.outputs @ head["kernel"] + head["bias"], logits.logits, atol=1e-5)
    np.testing.assert_array_equal(found.labels, logits.labels)


@pytest.mark.fast_cases("timesformer_tiny-*")
@pytest.mark.parametrize(
    ("name", "options"),
    [("timesformer_tiny", {}), ("slowfast_tiny", {}), ("resnet18_tiny", {"input_adapter": "motion_prompt"})],
)
def test_every_kind_of_model_has_features_of_the_width_that_its_classifier_takes(
    name: str, options: dict[str, object]
) -> None:
    model = create_model(name, **options)
    shapes = variable_shapes(model)
    clips = jax.ShapeDtypeStruct((2, *model.clip_shape), np.float32)
    features = jax.eval_shape(lambda variables, clips: classifier_input(model, variables, clips), shapes, clips)
    kernel = shapes["params"]
    for part in (*model.classifier.split("/"), "kernel"):
        kernel = kernel[part]
    assert features.shape == (2, kernel.shape[0])


@pytest.mark.fast_cases("knn")
@pytest.mark.parametrize("method", ["knn", "linear"])
def test_a_probe_classifies_the_held_out_videos_by_those_with_known_classes(
    method: str, lists: dict[str, pathlib.Path]
) -> None:
    trained = small_trained_model()
    result = probe_checkpoint(trained, lists["train"], validation=lists["validation"], method=method, batch_size=8)
    assert (result.videos, result.known, result.width) == (11, 24, 128)
    assert result.scored.labels.tolist() == open_source(lists["validation"], default_split="validation").labels.tolist()
    assert result.top1_interval[0] <= result.top1 <= result.top1_interval[1]
    said = json.loads(json.dumps(result.to_dict()))
    assert said["method"] == method
    assert said["settings"].keys() >= ({"neighbors"} if method == "knn" else {"penalty", "held_out"})
    # Of videos that it has seen, the nearest neighbour is the video itself.
    if method == "knn":
        with_itself = probe_checkpoint(
            trained, lists["train"], validation=first_lines(lists["train"], 13), neighbors=1, batch_size=8
        )
        assert with_itself.top1 == 1


def first_lines(path: pathlib.Path, count: int) -> pathlib.Path:
    """A list of the first videos of another, beside it."""
    target = path.with_name(f"first{count}.csv")
    target.write_text("\n".join(path.read_text().splitlines()[: count + 1]) + "\n")
    return target


def test_broken_videos_are_left_out_of_both_sides(
    lists: dict[str, pathlib.Path], list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path]
) -> None:
    source, broken = list_with_a_broken_video
    result = probe_checkpoint(small_trained_model(), source, validation=lists["validation"], batch_size=8)
    assert (result.known, result.left_out) == (23, (str(broken),))


def test_what_cannot_be_probed_is_told_before_anything_is_read(
    lists: dict[str, pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, validation = str(lists["train"]), str(lists["validation"])
    rows = lists["train"].read_text().splitlines()
    label = rows[1].rsplit(",", 1)[1]
    one = lists["train"].with_name("one_class.csv")
    one.write_text("\n".join([rows[0], *(row for row in rows[1:] if row.endswith(label))]) + "\n")
    cases = {
        (train,): "names one split, and a probe also needs videos to classify",
        (train, "--validation", train): "hold the same videos: each would find itself",
        (str(one), "--validation", validation): "has videos of one class alone",
        (train, "--validation", validation, "--checkpoint", "no_such_model"): "no_such_model",
    }
    for arguments, message in cases.items():
        assert main(["probe", "--checkpoint", "demo", "--data", *arguments]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(UserError, match=r"neighbors is 0, but must be a whole number"):
        probe_checkpoint("demo", train, validation=validation, neighbors=0)
    with pytest.raises(UserError, match=r"must be 'knn' or 'linear'"):
        probe_checkpoint("demo", train, validation=validation, method="svm")


def test_features_that_are_not_finite_are_refused(lists: dict[str, pathlib.Path]) -> None:
    trained = small_trained_model()
    trained.variables["params"]["hidden"]["bias"][0] = np.nan
    with pytest.raises(UserError, match=r"the features of 24 videos of .* are NaN or infinite"):
        probe_checkpoint(trained, lists["train"], validation=lists["validation"], batch_size=8)
