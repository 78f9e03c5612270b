"""`motion-vit models`."""

import argparse
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import add_command
from motion_vit.cli.json_output import print_json

if TYPE_CHECKING:
    from motion_vit.zoo.table import PublishedWeights

_COLUMNS = ("name", "data", "top-1", "views", "MB", "licence")


def add_models(commands: Any) -> None:
    """Defines `motion-vit models`."""
    details = (
        "--checkpoint of other commands, --config.initial_weights and motion_vit.load take the names. Views are clips "
        "x crops, for the published accuracy. A star marks weights of which a fact was not verified; give the name of "
        "one to read all that is known of it."
    )
    parser = add_command(commands, "models", _models, "list published weights that are loaded by name", details)
    parser.add_argument("name", nargs="?", metavar="NAME", help="tell everything about these weights")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _models(options: argparse.Namespace) -> int:
    from motion_vit.zoo.table import find_weights, published_weights

    rows = [find_weights(options.name)] if options.name else list(published_weights().values())
    if options.json:
        print_json([row.to_dict() for row in rows])
    elif options.name:
        for field, value in rows[0].to_dict().items():
            print(f"{field:<14} {_plain(value)}".rstrip())
    else:
        table = [_COLUMNS, *map(_cells, rows)]
        widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
        for line in table:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
        print("* some of what the table says was not verified: `motion-vit models NAME` tells what.")
    return 0


def _cells(row: "PublishedWeights") -> tuple[str, ...]:
    from motion_vit.zoo.table import datasets

    return (
        f"{row.id}{'*' if row.unverified else ''}",
        datasets()[row.data].title,
        f"{row.top1:.1f} %" if row.top1 else "",
        f"{row.clips} x {row.crops}" if row.top1 else "",
        f"{row.megabytes:.0f}" if row.megabytes else "",
        row.licence if row.commercial else f"{row.licence}, not commercial",
    )


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
