"""`example.py`: a program in every export that classifies videos as `motion-vit predict` does.

It is `motion_vit/interop/runners/example.py` with the runner of the format in place of the one that is imported there,
so that an export is run by the same code as `motion-vit export --verify` runs.
"""

import ast
import pathlib
import re
import sys

from motion_vit.interop.exporting.formats import FORMATS

EXAMPLE_FILE = "example.py"

_RUNNERS = pathlib.Path(__file__).parents[1] / "runners"
_RUNNERS_PACKAGE = "motion_vit.interop.runners"
LIBRARIES = "numpy av opencv-python-headless"
"""What pip installs for it besides the runtime."""


def example_script(file_format: str) -> str:
    """Writes the program.

    Args:
      file_format: a name of `FORMATS`.

    Returns:
      Python.
    """
    template = (_RUNNERS / EXAMPLE_FILE).read_text(encoding="utf-8")
    runner = (_RUNNERS / f"{FORMATS[file_format].runner}.py").read_text(encoding="utf-8")
    code = ast.parse(template).body
    last_import = max(number for number, node in enumerate(code) if isinstance(node, ast.Import | ast.ImportFrom))
    (load,) = (node for node in ast.parse(runner).body if isinstance(node, ast.FunctionDef) and node.name == "load")
    rest = "".join(template.splitlines(keepends=True)[code[last_import].end_lineno :]).strip()
    constants, first_function, functions = rest.partition("\n\n\ndef ")
    body = f"{constants}\n\n\n{ast.get_source_segment(runner, load)}{first_function}{functions}\n"
    return f"{_docstring(file_format)}\n\n{_imports(template + runner, body)}\n\n{body}"


def _docstring(file_format: str) -> str:
    chosen = FORMATS[file_format]
    needs = " Nothing of motion_vit is needed."
    if chosen.batches == "any":
        needs = (
            "\n\nThis folder holds weights and no program: motion_vit computes the logits, in `load`. To do without it,"
            "\ncall another network there, or export the model as onnx, savedmodel, tflite or stablehlo."
        )
    return (
        '"""Classifies videos with the model in this folder, as `motion-vit predict` does.\n\n'
        f"    pip install {LIBRARIES} {chosen.runtime}\n    python {EXAMPLE_FILE} VIDEO...\n\n"
        f"`preprocessing.json` says how videos become inputs.{needs}\n"
        '"""'
    )


def _imports(source: str, body: str) -> str:
    """Writes those imports of a source that a body uses, sorted, those of the standard library first."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    modules: set[str] = set()
    names: dict[str, set[str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            bound = ((name.asname or name.name.partition(".")[0], name) for name in node.names)
            modules |= {ast.unparse(name) for known_as, name in bound if known_as in used}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith(_RUNNERS_PACKAGE):
            names.setdefault(node.module, set()).update(name.name for name in node.names if name.name in used)
    lines = [f"import {module}" for module in sorted(modules)]
    lines += [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names) if names[module]]
    groups: tuple[list[str], list[str]] = ([], [])
    for line in lines:
        groups[re.split(r"[ .]", line)[1] not in sys.stdlib_module_names].append(line)
    return "\n\n".join("\n".join(group) for group in groups)
