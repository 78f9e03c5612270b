"""Imports point one way: ops <- modules <- models <- training <- cli; data knows no model.

Nothing but the command line knows interop and visualization.
"""

import ast
import pathlib
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "motion_vit"

# What each part may import of the library, besides itself and the error type.
ALLOWED = {
    "ops": set(),
    "modules": {"ops"},
    "models": {"modules", "ops"},
    "data": set(),
    "training": {"models", "modules", "ops", "data"},
    "interop": {"training", "data", "models", "modules", "ops"},
    "visualization": {"training", "data", "models", "modules", "ops"},
    "checkpoints": set(),
    "demo": {"visualization", "training", "data", "models"},
    "comparison": {"training", "data", "models"},
    "cli": {"demo", "comparison", "visualization", "training", "data", "models", "interop"},
    "__init__": {"models", "training"},
    "errors": set(),
}


def part_of(module: str) -> str:
    """The part of the library that a module belongs to, "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imported_modules(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module is not None
            # `from motion_vit import data` names a part, `from motion_vit import create_model` an export.
            is_package = node.module == "motion_vit"
            yield from (f"{node.module}.{alias.name}" if is_package else node.module for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_below_it(path: pathlib.Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert part in ALLOWED, f"say in this test what {part} may import"
    exported = {"UserError"} | (
        {"create_model", "list_models", "apply_with_intermediates", "load"} if part != "data" else set()
    )
    for module in imported_modules(path):
        if module == "motion_vit" or module.startswith("motion_vit."):
            target = part_of(module)
            allowed = ALLOWED[part] | {part, "errors", ""} | exported
            assert target in allowed, f"{path.relative_to(PACKAGE)} imports {module}"


def test_building_models_does_not_import_the_training_code() -> None:
    """`motion_vit.load` imports it when it is called."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    at_once = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert at_once
    assert not any(module.startswith("motion_vit.training") for module in at_once)


def test_only_the_checkpoint_module_knows_orbax() -> None:
    users = [path.name for path in PACKAGE.rglob("*.py") if any("orbax" in name for name in imported_modules(path))]
    assert users == ["checkpointing.py"]


def test_the_data_part_does_not_need_jax() -> None:
    for path in (PACKAGE / "data").glob("*.py"):
        foreign = {name.split(".")[0] for name in imported_modules(path)}
        assert not foreign & {"jax", "flax", "optax"}, path.name
