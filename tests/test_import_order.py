"""Imports point one way: ops <- modules <- models <- training <- the rest; data knows no model; no room has a circle.

Within `training`: parallel, logs, losses and masking know none of the others; then recipe <- inputs <- objectives <-
step <- inference <- checkpoints <- evaluation <- features <- loop, with ahead_of_time above step, and probing, and
adaptation <- robustness, above evaluation. Within `interop`: files <- families <- importing and exporting. The zoo
stands on importing, and evaluation, features, probing and loop take models from it.
"""

import ast
import pathlib
import re

import pytest
from package_graph import LIBRARY, imported_names, imported_packages, library_files, package_graph, package_of

# Free of the rest of the library.
MODELS = {"ops", "modules", "models"}
DATA = {"data.sources", "data.features", "data.batches", "data.corruptions", "data.workers"}
STEP = {f"training.{name}" for name in ("parallel", "losses", "masking", "recipe", "inputs", "objectives", "step")}
INFERENCE = STEP | {"training.inference"}
CHECKPOINTS = INFERENCE | {"training.logs", "training.checkpoints"}
EVALUATION = CHECKPOINTS | {"training.evaluation"}
INTEROP = MODELS | CHECKPOINTS | {"interop.files", "interop.families"}

# What each package may import, besides itself, the error type, ranges of values, what finds plugins and what opens
# files. A package that is not named imports nothing.
ALLOWED: dict[str, set[str]] = {
    "modules": {"ops"},
    "models": {"modules", "ops"},
    "data.sources": {"data.video", "data.workers"},
    "data.streams": {"data.video"},
    "data.features": {"data.sources"},
    "data.batches": DATA - {"data.batches"} | {"data.augmentation", "data.video"},
    "data.datasets": {"data.sources", "data.video"},
    "data.embedded": {"data.video", "data.workers"},
    "data.preparation": {"data.datasets", "data.sources", "data.video", "data.workers"},
    "training.logs": MODELS,
    "training.losses": MODELS,
    "training.masking": {"ops"},
    "training.recipe": MODELS | DATA | {"training.losses", "training.masking"},
    "training.inputs": MODELS | DATA | {"data.augmentation", "training.recipe"},
    "training.objectives": MODELS | {f"training.{name}" for name in ("losses", "masking", "recipe", "inputs")},
    "training.step": MODELS | STEP,
    "training.inference": MODELS | DATA | INFERENCE | {"data.streams", "data.video"},
    "training.checkpoints": MODELS | DATA | CHECKPOINTS,
    "training.evaluation": MODELS | DATA | EVALUATION | {"data.embedded", "data.streams", "zoo"},
    "training.features": MODELS | DATA | EVALUATION | {"data.video", "zoo"},
    "training.probing": MODELS | DATA | EVALUATION | {"zoo"},
    "training.adaptation": MODELS | DATA | EVALUATION | {"zoo"},
    "training.robustness": MODELS | DATA | EVALUATION | {"training.adaptation", "zoo"},
    "training.ahead_of_time": MODELS | STEP,
    "training.loop": MODELS | DATA | EVALUATION | {"data.augmentation", "training.features", "zoo"},
    "interop.families": MODELS | {"interop.files"},
    "interop.importing": INTEROP,
    "interop.exporting": INTEROP,
    "interop.runners": INTEROP | {"interop.importing"},
    "zoo": INTEROP | {"interop.importing", "data.workers"},
    "visualization": MODELS | DATA | EVALUATION | {"data.augmentation", "data.video", "zoo"},
    "serving": DATA | EVALUATION | {"data.video"},
    "comparison": MODELS | DATA | EVALUATION | {"data.datasets", "data.embedded", "data.preparation", "training.loop"},
}
# The command line, which `python -m` starts, the demo and what the library exports may use all of it.
UNBOUND = {"", "__main__", "cli", "demo"}
ROOT_MODULES = {"", "counts", "errors", "files", "outside_text", "plugins", "ranges", "terminal"}
LEAVES = ROOT_MODULES - {""}
# These know nothing of models, or are what models are made of: they must not import what the library exports.
BELOW_MODELS = ("ops", "modules", "models", "data")

PACKAGES = sorted({package_of(path) for path in library_files()} - UNBOUND)


def forbidden_imports(path: pathlib.Path) -> list[str]:
    """What a file imports against the order, each as a sentence."""
    package = package_of(path)
    root = LEAVES if package.startswith(BELOW_MODELS) else ROOT_MODULES
    allowed = ALLOWED.get(package, set()) | {package} | root
    return [
        f"{path.relative_to(LIBRARY.parent)} imports from {imported or 'motion_vit'!r}, but {package} may import only: "
        f"{', '.join(sorted(allowed - ROOT_MODULES - {package})) or 'nothing of the library'}."
        for imported in imported_packages(path)
        if imported not in allowed
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    files = [path for path in library_files() if package_of(path) == package]
    assert files
    wrong = [sentence for path in files for sentence in forbidden_imports(path)]
    assert not wrong, "\n".join(wrong)


def test_a_forbidden_import_is_told_in_a_sentence(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "motion_vit"
    module = library / "training" / "logs" / "writers.py"
    module.parent.mkdir(parents=True)
    (library / "training" / "loop").mkdir()
    module.write_text("def f():\n    from motion_vit.training.loop.loop import train\n")
    monkeypatch.setattr("package_graph.LIBRARY", library)
    monkeypatch.setitem(globals(), "LIBRARY", library)
    assert forbidden_imports(module) == [
        "motion_vit/training/logs/writers.py imports from 'training.loop', but training.logs may import only: "
        "models, modules, ops."
    ]


def test_no_packages_import_each_other_in_a_circle() -> None:
    graph = {package: imported - ROOT_MODULES for package, imported in package_graph().items() if package}
    while leaves := [package for package, imported in graph.items() if not imported & graph.keys()]:
        for package in leaves:
            del graph[package]
    assert not graph, f"these import each other in a circle: {', '.join(sorted(graph))}"


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - LEAVES))
def test_a_package_says_what_comes_in_what_goes_out_and_what_it_may_import(package: str) -> None:
    path = LIBRARY.joinpath(*package.split("."), "__init__.py")
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    lines = [line for line in said.split("\n") if line.startswith(("In: ", "Out: ", "Imports: "))]
    assert [line.partition(":")[0] for line in lines] == ["In", "Out", "Imports"], said


@pytest.mark.parametrize("package", [package for package in PACKAGES if "." in package])
def test_a_package_names_every_room_beside_it_that_it_imports(package: str) -> None:
    path = LIBRARY.joinpath(*package.split("."), "__init__.py")
    (line,) = re.findall(r"^Imports: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if re.search(r"every package|what that may import", line):
        return
    named = {
        f"{house}.{room}" for house, rooms in re.findall(r"`(\w+)\.\{?([\w,]+)\}?`", line) for room in rooms.split(",")
    }
    house = package.split(".")[0]
    files = [path for path in library_files() if package_of(path) == package]
    beside = {room for path in files for room in imported_packages(path) if room.startswith(f"{house}.")} - {package}
    assert beside <= named, f"{package} imports {', '.join(sorted(beside - named))}, and says: {line}"


def test_only_the_checkpoint_module_knows_orbax() -> None:
    users = [path.name for path in library_files() if any("orbax" in name for name in imported_names(path))]
    assert users == ["run_checkpoints.py"]


def test_the_data_part_does_not_need_jax() -> None:
    paths = sorted((LIBRARY / "data").rglob("*.py"))
    assert len(paths) > 60
    for path in paths:
        foreign = {name.split(".")[0] for name in imported_names(path)}
        assert not foreign & {"jax", "flax", "optax"}, path.relative_to(LIBRARY)
