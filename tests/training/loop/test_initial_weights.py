"""Fine-tuning: what a run takes over from other weights, on any devices, and what it does not accept."""

import pathlib
import shutil

import chex
import jax
import numpy as np
import pytest
import training_processes
from flax import traverse_util
from ml_collections import ConfigDict
from small_trained_model import small_trained_model

from motion_vit import UserError
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.loop.initial_weights import start_from_weights
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.config import differing_fields
from motion_vit.training.recipe.file import load_config
from motion_vit.training.step.program import TrainingProgram, build_program

HEAD = ("params/head/kernel", "params/head/bias")


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture(scope="module")
def weights(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("weights") / "folder"
    write_weights_folder(folder, trained)
    return folder


def recipe(weights: pathlib.Path, **fields: object) -> ConfigDict:
    values = {"initial_weights": weights, "data.train": "unused", **fields}
    return load_config(str(training_processes.RECIPE), [f"--config.{name}={value}" for name, value in values.items()])


def program_of(config: ConfigDict, classes: int = 10) -> TrainingProgram:
    mesh = meshes.make_mesh(data=2, fsdp=4)
    return build_program(config, mesh, clips_of_class=[1] * classes, total_steps=6, steps_per_epoch=3)


def flat(variables: object) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(variables), sep="/")


def test_a_run_starts_at_the_weights_split_over_its_devices(trained: TrainedModel, weights: pathlib.Path) -> None:
    program = program_of(recipe(weights))
    state, report = start_from_weights(program, trained.label_names)
    chex.assert_trees_all_equal(state.variables, trained.variables)
    chex.assert_trees_all_equal(state.averaged_variables, trained.variables)
    assert int(state.step) == 0
    jax.tree.map(
        lambda leaf, sharding: leaf.sharding.is_equivalent_to(sharding, leaf.ndim) or pytest.fail(str(leaf.sharding)),
        state,
        program.state_sharding,
    )
    assert not state.params["hidden"]["kernel"].is_fully_replicated
    assert "21 steps trained: 6 arrays of parameters and 2 of running statistics are taken" in report
    assert "The head is taken too: the 10 classes are the same" in report


def test_the_head_follows_the_order_of_the_classes(trained: TrainedModel, weights: pathlib.Path) -> None:
    order = (4, 0, 9, 1, 2, 3, 5, 8, 7, 6)
    state, report = start_from_weights(program_of(recipe(weights)), [trained.label_names[number] for number in order])
    given, found = flat(trained.variables), flat(state.variables)
    for path, value in found.items():
        expected = given[path][..., list(order)] if path in HEAD else given[path]
        np.testing.assert_array_equal(value, expected, err_msg=path)
    assert "put into this run's order" in report


@pytest.mark.fast_cases("10")
@pytest.mark.parametrize("classes", [10, 7])
def test_the_head_starts_anew_where_the_classes_are_others(
    classes: int, trained: TrainedModel, weights: pathlib.Path
) -> None:
    program = program_of(recipe(weights), classes)
    state, report = start_from_weights(program, [f"new {number}" for number in range(classes)])
    given, found, fresh = flat(trained.variables), flat(state.variables), flat(program.initial_state().variables)
    for path, value in found.items():
        np.testing.assert_array_equal(value, fresh[path] if path in HEAD else given[path], err_msg=path)
    chex.assert_trees_all_equal(state.ema, state.params)
    assert f"The head starts anew: the classes are others (10 there, {classes} here, such as 'new 0'" in report
    assert "4 arrays of parameters" in report


def test_weights_of_a_backbone_go_behind_the_motion_prompt_of_the_run(
    trained: TrainedModel, weights: pathlib.Path
) -> None:
    config = recipe(weights)
    config.model.options.input_adapter = "motion_prompt"
    program = program_of(config)
    state, report = start_from_weights(program, [f"new {number}" for number in range(10)])
    found, fresh = flat(state.variables), flat(program.initial_state().variables)
    given = {path.replace("/", "/backbone/", 1): array for path, array in flat(trained.variables).items()}
    anew = {"params/prompt/m", "params/prompt/n", *(path.replace("/", "/backbone/", 1) for path in HEAD)}
    assert found.keys() - given.keys() <= anew
    for path, value in found.items():
        np.testing.assert_array_equal(value, fresh[path] if path in anew else given[path], err_msg=path)
    assert "4 arrays of parameters" in report
    assert "They go behind the motion prompt, which starts anew." in report


def test_weights_of_another_network_or_for_other_inputs_are_refused(
    trained: TrainedModel, weights: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    write_weights_folder(tmp_path / "larger", small_trained_model(size=64))
    with pytest.raises(UserError, match=r"larger \(config field initial_weights\) is of another model") as raised:
        start_from_weights(program_of(recipe(tmp_path / "larger")), trained.label_names)
    assert "params/hidden/kernel is (768, 128) in the checkpoint, but (192, 128) in the model" in str(raised.value)
    assert "Choose the options that these weights were trained with" in str(raised.value)
    write_weights_folder(tmp_path / "other", small_trained_model(name="videomae_tiny"))
    with pytest.raises(UserError, match=r"the recipe's model is small: --config\.model\.name=videomae_tiny trains"):
        start_from_weights(program_of(recipe(tmp_path / "other")), trained.label_names)
    config = recipe(weights, **{"data.channel_order": "bgr", "data.std": (0.2, 0.2, 0.3)})
    with pytest.raises(UserError, match=r"data\.channel_order: 'rgb' there, 'bgr' here") as raised:
        start_from_weights(program_of(config), trained.label_names)
    assert "'--config.data.channel_order=rgb' '--config.data.std=(0.225, 0.225, 0.225)'" in str(raised.value)
    with pytest.raises(UserError, match="there is no checkpoint in nowhere"):
        start_from_weights(program_of(recipe(pathlib.Path("nowhere"))), trained.label_names)


def test_options_that_change_what_weights_mean_without_changing_their_shapes_are_told(
    trained: TrainedModel, weights: pathlib.Path
) -> None:
    _, report = start_from_weights(program_of(recipe(weights, **{"data.frames": 8})), trained.label_names)
    assert report.splitlines()[1:] == ["  frames was 4 and is 8"]


def test_a_run_is_not_continued_with_other_initial_weights(weights: pathlib.Path) -> None:
    assert set(differing_fields(recipe(weights), recipe(pathlib.Path("other")))) == {"initial_weights"}


@pytest.mark.slow
def test_several_processes_start_at_the_weights_as_one_does_and_a_run_goes_on_without_them(
    weights: pathlib.Path,
    lists: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here, copied = tmp_path / "here", shutil.copytree(weights, tmp_path / "weights")
    fields = {"data.train": lists["train"], "initial_weights": copied, "epochs": 1.0, "mesh.fsdp": 2}
    config = load_config(str(training_processes.RECIPE), [f"--config.{name}={value}" for name, value in fields.items()])
    assert training_processes.end(training_processes.start(2, tmp_path / "two", fields)) == [0, 0]
    assert training_processes.text_of(tmp_path / "two", "output0").count(f"starts from {copied}") == 1

    with jax.numpy_rank_promotion("allow"):
        train(config, here, max_steps=1)
        assert f"starts from {copied}, 21 steps trained" in capsys.readouterr().out
        shutil.rmtree(copied)
        assert train(config, here).completed
    assert "starts from" not in capsys.readouterr().out
    losses = [[record["loss"] for record in read_json_lines(run / METRICS_FILE)] for run in (here, tmp_path / "two")]
    assert len(losses[0]) == 3
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
