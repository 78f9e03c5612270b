"""Every recipe that the repository ships can be built and trained, as far as shapes tell."""

import pathlib

import jax
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.comparison.rows import load_rows
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.objectives.teaching import Teacher
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import build_model, validate, validate_fields
from motion_vit.training.recipe.file import load_config, load_configs
from motion_vit.training.step.program import build_program

FILES = sorted((pathlib.Path(__file__).resolve().parents[1] / "configs").glob("[!_]*.py"))
COMPARISONS = [path for path in FILES if path.stem in ("comparison", "start_of_training")]


def _recipes() -> dict[str, str]:
    """What `--config` takes for each recipe but those of comparisons, by a name for the test."""
    recipes: dict[str, str] = {}
    for path in FILES:
        if "def get_config(" in path.read_text(encoding="utf-8"):
            recipes[path.stem] = str(path)
            if path.stem == "my_videos":
                recipes[f"{path.stem}:tiny"] = f"{path}:tiny"
        elif path not in COMPARISONS:
            recipes.update({f"{path.stem}:{name}": f"{path}:{name}" for name in load_configs(str(path))})
    return recipes


def _stand_in(config: ConfigDict, mesh: Mesh) -> Teacher:
    """The shapes of a teacher that is as large as its student."""
    traced, whole = build_model(config, num_classes=10), meshes.replicated(mesh)
    variables = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), traced.shapes)
    return Teacher("stand-in", traced.model, variables, normalization(config), tuple(range(10)))


RECIPES = _recipes()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_fields_of_a_recipe_go_together(recipe: str) -> None:
    validate_fields(load_config(recipe))


@pytest.mark.fast_cases("my_videos_videomae")
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_makes_a_training_step(recipe: str) -> None:
    config = load_config(recipe)
    validate(config)
    mesh = meshes.data_mesh(jax.devices()[:1])
    with jax.numpy_dtype_promotion("standard"):
        teachers = [_stand_in(config, mesh) for _ in config.distillation.teachers]
        program = build_program(
            config, mesh, clips_of_class=[1] * 10, total_steps=100, steps_per_epoch=10, teachers=teachers
        )
        state = program.abstract_state()
        after, metrics = jax.eval_shape(program.step, state, program.abstract_batch(), *program.inputs_beside)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert metrics["loss"].shape == ()


@pytest.mark.fast_cases("start_of_training")
@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_every_row_of_a_comparison_makes_a_model(path: pathlib.Path) -> None:
    rows = load_rows(str(path), ["--config.data.train=unused"])
    compared = {
        (build_model(config, num_classes=10).model, str(config.optimizer), str(config.loss)) for config in rows.values()
    }
    assert len(compared) == len(rows) > 1, "two rows are the same"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recipe_says_how_it_is_run_and_what_to_expect(path: pathlib.Path) -> None:
    header = path.read_text(encoding="utf-8").split('"""')[1]
    assert "motion-vit" in header
    for heading in ("Command", "Expected time:", "Expected accuracy:"):
        assert heading in header
