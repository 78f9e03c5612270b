"""`motion-vit serve`."""

import argparse
import re
from typing import Any

from motion_vit.cli.arguments import (
    add_checkpoint,
    add_command,
    add_views,
    real_number,
    refusal,
    whole_number,
)
from motion_vit.errors import UserError
from motion_vit.outside_text import for_terminal
from motion_vit.serving.settings import MOST_CONCURRENCY, SETTING_RANGES, ServerSettings

_EXTRA = "serve"
_PACKAGES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?(B|KB|MB|GB|KiB|MiB|GiB)?")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def add_serve(commands: Any) -> None:
    """Defines `motion-vit serve`."""
    details = (
        "POST /predict takes a video and answers as `predict --json` does; / is a page to drop one on, /healthz says "
        "when the model is compiled, /metrics counts. There is neither TLS nor a password: put a proxy before it."
    )
    parser = add_command(commands, "serve", _serve, "answer requests over HTTP with one model", details)
    add_checkpoint(parser)
    parser.add_argument("--host", default=ServerSettings.host, help="address to listen at; default: 127.0.0.1")
    parser.add_argument(
        "--port", type=whole_number(SETTING_RANGES["port"]), default=ServerSettings.port, help="0: any; default: 8000"
    )
    parser.add_argument(
        "--concurrency",
        type=whole_number(SETTING_RANGES["concurrency"]),
        metavar="N",
        help="videos at once; default: as many as cores",
    )
    parser.add_argument(
        "--queue",
        type=whole_number(SETTING_RANGES["queue"]),
        default=ServerSettings.queue,
        metavar="N",
        help="requests that wait beside them; more are refused with 503; default: 16",
    )
    parser.add_argument(
        "--max-upload",
        type=_size,
        default=ServerSettings.max_upload,
        metavar="SIZE",
        help="of a video, such as 100MB or 2GiB; default: 100MB",
    )
    parser.add_argument(
        "--time-limit",
        type=_seconds,
        default=ServerSettings.time_limit,
        metavar="SECONDS",
        help="of a request, from its headers to its answer; default: 60",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name besides localhost that requests may be addressed to, such as that of a proxy; several are allowed",
    )
    add_views(parser)


def _size(text: str) -> int:
    """Reads a number of bytes."""
    found = _SIZE.fullmatch(text.strip())
    value = int(float(found[1]) * _UNITS[found[2] or ""]) if found else 0
    if not SETTING_RANGES["max_upload"].holds(value):
        raise refusal(text, "a size such as 100MB, 2GiB or a number of bytes, up to 1024GiB")
    return value


def _seconds(text: str) -> float:
    return real_number(SETTING_RANGES["time_limit"])(text.removesuffix("s"))


def _serve(options: argparse.Namespace) -> int:
    from motion_vit.data.workers.cores import available_cores
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.zoo.load import load

    try:
        from motion_vit.serving.server import PredictionServer
    except ModuleNotFoundError as error:
        raise _missing_extra(error) from error
    from motion_vit.serving.classifier import Classifier

    settings = ServerSettings(
        host=options.host,
        port=options.port,
        concurrency=options.concurrency or min(available_cores(), MOST_CONCURRENCY),
        queue=options.queue,
        max_upload=options.max_upload,
        time_limit=options.time_limit,
        allowed_hosts=tuple(options.allow_host),
    )
    enable_compilation_cache()
    trained = load(options.checkpoint, which=options.which, ema=options.ema)
    classifier = Classifier(trained, clips=options.clips, crops=options.crops, batch_size=options.batch_size)
    server = PredictionServer(classifier, settings)
    print(f"serving {for_terminal(options.checkpoint)} at {server.url}; compiling", flush=True)
    server.run(on_ready=lambda: print("ready", flush=True))
    print("stopped", flush=True)
    return 0


def _missing_extra(error: ModuleNotFoundError) -> UserError:
    """Says how to install what is missing; errors of other imports are raised again."""
    package = (error.name or "").partition(".")[0]
    if package not in _PACKAGES:
        raise error
    return UserError(
        f"serve needs the package {package}, which is not installed. Install it with "
        f"`pip install 'motion_vit[{_EXTRA}]'`."
    )
