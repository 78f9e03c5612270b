"""Every file of the library is written whole or not at all: no module opens one for writing in another way."""

import ast
import pathlib
from collections.abc import Iterable, Iterator

import pytest
from package_graph import LIBRARY

ATOMIC = {"atomic_file", "atomic_path", "written_file"}
"""What gives the name of, or opens, an unfinished file that is renamed once it is whole."""

WRITING = {
    "imsave",
    "imwrite",
    "mkstemp",
    "NamedTemporaryFile",
    "RecordWriter",
    "rename",
    "save",
    "save_file",
    "savefig",
    "savez",
    "savez_compressed",
    "to_csv",
    "tofile",
    "touch",
    "write_bytes",
    "write_text",
}
"""Names of functions and methods that write a file which is named by an argument or by the object before the dot."""

EXCEPTIONS = {
    "files/atomic_file.py": "it is the way",
    "files/folder_lock.py": "a lock is no content: it says who holds it",
    "cli/__init__.py": "opens the null device",
    "cli/answers.py": "lines of JSON grow video by video; every other form is written whole",
    "comparison/comparison_run.py": "a log grows line by line",
    "training/logs/writers.py": "metrics and events grow record by record; the rest of the file is written whole",
    "training/checkpoints/checksums.py": "in a checkpoint that has no name yet",
    "training/checkpoints/run_checkpoints.py": "Orbax renames its folders",
    "training/checkpoints/whole_folder.py": "renames a whole folder",
    "serving/app.py": "a temporary file, in a folder that is removed",
    "training/loop/loop.py": "the method `save` of the checkpoints",
    "zoo/https_download.py": "a download grows in an unfinished file, which is renamed once it is whole",
    "interop/exporting/saved_model.py": "a folder of TensorFlow in a folder that has no name yet",
    "interop/exporting/litert.py": "a temporary folder of TensorFlow",
    "data/preparation/shard.py": "a writer of shards, on an unfinished file",
}


def is_writing_mode(call: ast.Call) -> bool:
    flags = {part.attr for part in ast.walk(call) if isinstance(part, ast.Attribute)}
    if flags & {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"}:
        return True
    modes = [argument.value for argument in [*call.args, *(word.value for word in call.keywords)] if is_text(argument)]
    return any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes if mode)


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def called(node: ast.AST) -> str:
    """Names the function or method that is called, without what stands before a dot."""
    function = getattr(node, "func", None)
    return getattr(function, "attr", getattr(function, "id", ""))


def unfinished_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that an atomic write or memory binds, as in `with atomic_file(path) as file` and `stream = BytesIO()`."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.withitem) and node.optional_vars and called(node.context_expr) in ATOMIC:
            found |= names_in(node.optional_vars)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and called(node.value) == "BytesIO":
            found |= {name for target in node.targets for name in names_in(target)}
    return found


def own_functions(tree: ast.Module, nodes: Iterable[ast.AST]) -> set[str]:
    """Names of functions of the library that a module imports or has: what they write, they write whole."""
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in imports if (node.module or "").startswith("motion_vit") for alias in node.names}
    return imported | {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def writes(path: pathlib.Path) -> Iterator[str]:
    """Lists the calls of a file that write in another way."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    allowed, own = unfinished_names(nodes), own_functions(tree, nodes)
    for call in nodes:
        if not isinstance(call, ast.Call):
            continue
        name, is_plain = called(call), isinstance(call.func, ast.Name)
        if name in ("open", "fdopen") and is_writing_mode(call):
            suspect = True
        elif name == "replace":
            suspect = isinstance(call.func, ast.Attribute) and names_in(call.func.value) == {"os"}
        else:
            suspect = name in WRITING and not (is_plain and name in own) and names_in(call.func) != {"atomic_file"}
        if suspect and not names_in(call) & allowed:
            yield f"{path.relative_to(LIBRARY)}, line {call.lineno}: {ast.unparse(call)[:60]}"


def test_no_module_writes_a_file_in_another_way() -> None:
    files = [path for path in sorted(LIBRARY.rglob("*.py")) if str(path.relative_to(LIBRARY)) not in EXCEPTIONS]
    assert len(files) > 300
    wrong = [found for path in files for found in writes(path)]
    assert not wrong, "these can leave half a file; use motion_vit.files.atomic_file:\n" + "\n".join(wrong)


def test_every_exception_is_one() -> None:
    needless = [name for name in EXCEPTIONS if name != "data/preparation/shard.py" and not list(writes(LIBRARY / name))]
    assert not needless


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "path.open('ab')",
        "open(path, mode='x')",
        "path.write_text(text)",
        "figure.savefig(path)",
        "np.savez(path, a=a)",
        "image.save(path)",
        "os.replace(path, b)",
        "os.open(path, os.O_WRONLY)",
        "av.open(path, 'w')",
        "torch.save(tensors, path / 'a')",
    ],
)
def test_a_write_in_another_way_is_found(line: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LIBRARY", tmp_path)
    module = tmp_path / "module.py"
    module.write_text(f"def f():\n    {line}\n")
    assert list(writes(module)) == [f"module.py, line 2: {line}"]
    module.write_text(f"def f():\n    with atomic_path(place) as path:\n        {line}\n")
    assert not list(writes(module))
