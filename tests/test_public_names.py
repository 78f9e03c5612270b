"""What `motion_vit` itself offers: every name is there, typed, and imported when it is asked for, not before."""

import ast
import functools
import importlib.metadata
import pathlib
import subprocess
import sys

import pytest

import motion_vit

SOURCE = pathlib.Path(motion_vit.__file__)


OPERATORS = "import motion_vit\nmotion_vit.cost_volume_attention\nimport motion_vit.ops.global_attention"


@functools.cache
def imported_by(code: str) -> set[str]:
    """The modules that a program has imported at its end."""
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(process.stdout.split())


def packages(modules: set[str]) -> set[str]:
    """The first words of the names of modules."""
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("name", motion_vit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(motion_vit, name) is not None
    assert name in dir(motion_vit)


def test_type_checkers_see_what_is_imported_when_it_is_asked_for() -> None:
    (block,) = (node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If))
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == motion_vit._PLACES
    assert sorted(motion_vit.__all__) == sorted([*typed, "UserError", "__version__"])


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'motion_vit' has no attribute 'create_modle'"):
        motion_vit.__getattr__("create_modle")
    assert not hasattr(motion_vit, "create_modle")


def test_the_version_is_that_of_the_installed_package() -> None:
    assert motion_vit.__version__ == importlib.metadata.version("motion_vit")


def test_importing_the_library_imports_hardly_anything() -> None:
    own = {name for name in imported_by("import motion_vit") if name.startswith("motion_vit")}
    assert own == {"motion_vit", "motion_vit.errors", "motion_vit.outside_text"}
    assert not packages(imported_by("import motion_vit")) & {"jax", "flax", "numpy"}


@pytest.mark.fast_cases("by the library")
@pytest.mark.parametrize(
    "code",
    ["from motion_vit.ops.cost_volume import cost_volume", OPERATORS],
    ids=["by its module", "by the library"],
)
def test_the_operator_needs_jax_and_no_flax(code: str) -> None:
    modules = imported_by(code)
    assert "jax" in modules
    assert not packages(modules) & {"flax", "optax", "orbax", "grain", "ml_collections", "cv2", "av"}
    own = {name for name in modules if name.startswith("motion_vit") and not name.startswith("motion_vit.ops")}
    assert own == {"motion_vit", "motion_vit.errors", "motion_vit.outside_text"}


def test_pallas_is_imported_only_where_a_kernel_is_chosen() -> None:
    assert "jax.experimental.pallas" not in imported_by(OPERATORS)


def test_models_and_layers_need_no_code_of_training_or_data() -> None:
    modules = imported_by("import motion_vit\nmotion_vit.create_model('uniformer_tiny')\nmotion_vit.Emim")
    assert not {name for name in modules if name.startswith(("motion_vit.training", "motion_vit.data"))}
    assert not packages(modules) & {"optax", "orbax", "grain", "cv2", "av"}
