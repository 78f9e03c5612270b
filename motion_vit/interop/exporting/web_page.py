"""`index.html` of an ONNX export: a page that classifies videos dropped on it, with onnxruntime-web in the browser."""

import pathlib

PAGE_FILE = "index.html"

_SOURCES = pathlib.Path(__file__).parent / "page"
_SCRIPT = '<script type="module" src="page.js"></script>'


def web_page() -> str:
    """Writes the page, which reads `model.onnx` and `preprocessing.json` beside it.

    Returns:
      HTML with its script. The runtime is loaded from the address in it, in a fixed version.
    """
    script = (_SOURCES / "page.js").read_text(encoding="utf-8")
    page = (_SOURCES / PAGE_FILE).read_text(encoding="utf-8")
    return page.replace(_SCRIPT, f'<script type="module">\n{script}</script>')
