"""`index.html` of an ONNX export: a page that classifies videos dropped on it, with onnxruntime-web in the browser."""

import pathlib
import re

from motion_vit.files.html_template import policy_hash

PAGE_FILE = "index.html"

_SOURCES = pathlib.Path(__file__).parent / "page"
_SCRIPT = '<script type="module" src="page.js"></script>'


def web_page() -> str:
    """Writes the page, which reads `model.onnx` and `preprocessing.json` beside it.

    The runtime is a copy in the folder `onnxruntime-web` beside the page or, without one, loaded from the address in
    the script, in a fixed version; files with other checksums than those in the script are refused.

    Returns:
      HTML with its script. Its content security policy lets it read from its own server and that address alone.
    """
    script = "\n" + (_SOURCES / "page.js").read_text(encoding="utf-8")
    runtime = re.search('RUNTIME = "(https:[^"]+)"', script)
    assert runtime is not None, "page.js has the address of the runtime"
    # The runtime has no address of its own in script-src: what ran is then a blob of bytes that were compared.
    policy = (
        f"default-src 'none'; script-src {policy_hash(script)} blob: 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
        f"connect-src 'self' {runtime[1]}; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    page = (_SOURCES / PAGE_FILE).read_text(encoding="utf-8").replace("POLICY", policy)
    return page.replace(_SCRIPT, f'<script type="module">{script}</script>')
