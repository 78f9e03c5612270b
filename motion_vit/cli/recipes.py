"""`motion-vit recipe`."""

import argparse
import os
import shutil
import textwrap
from typing import Any

from motion_vit.cli.arguments import add_command
from motion_vit.cli.json_output import print_json
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import write_text
from motion_vit.files.local_path import local_path


def add_recipe(commands: Any) -> None:
    """Defines `motion-vit recipe list`, `recipe show`, `recipe copy` and `recipe fields`."""
    details = "Recipes are Python files. `--config NAME` of other commands takes an installed one as it is."
    parser = commands.add_parser(
        "recipe",
        help="list, show or copy the installed recipes, or explain the fields of recipes",
        description=f"List, show or copy the installed recipes, or explain the fields of recipes. {details}",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    add_command(actions, "list", _list, "name the installed recipes")
    show = add_command(actions, "show", _show, "print a recipe", "With its command, expected time and accuracy.")
    show.add_argument("name", metavar="NAME", help="one of `motion-vit recipe list`")
    copy = add_command(actions, "copy", _copy, "copy a recipe into a file of your own, to change it")
    copy.add_argument("name", metavar="NAME", help="one of `motion-vit recipe list`")
    copy.add_argument("file", type=local_path, metavar="FILE", help="a new file, such as my_recipe.py")
    fields = add_command(actions, "fields", _fields, "explain the fields of recipes: default, range and meaning")
    fields.add_argument(
        "pattern",
        nargs="?",
        default="",
        metavar="PATTERN",
        help="a field, a group such as optimizer, a part of a name, or a pattern such as '*.clips'; default: all",
    )
    fields.add_argument("--json", action="store_true", help="print JSON")


def _list(options: argparse.Namespace) -> int:
    from motion_vit.training.recipe.packaged import packaged_recipes, summary

    recipes = packaged_recipes()
    width = max(map(len, recipes))
    for name, file in recipes.items():
        print(f"{name:<{width}}  {summary(file)}")
    return 0


def _show(options: argparse.Namespace) -> int:
    print(_text(options.name), end="")
    return 0


def _copy(options: argparse.Namespace) -> int:
    text = _text(options.name)
    if options.file.suffix != ".py":
        raise UserError(f"{options.file} is no name for a recipe: recipes are Python files, such as my_recipe.py.")
    if not options.file.parent.is_dir():
        raise UserError(f"the folder {options.file.parent} does not exist. Make it first, or give another file.")
    if os.path.lexists(options.file):
        raise UserError(f"{options.file} exists already; it is left as it is. Give a new file.")
    write_text(options.file, text)
    print(f"{options.file}: now change it, and give it to --config")
    return 0


def _fields(options: argparse.Namespace) -> int:
    from motion_vit.training.recipe.field_descriptions import describe_fields

    described = describe_fields(options.pattern)
    if options.json:
        print_json([field._asdict() for field in described])
        return 0
    width = min(max(shutil.get_terminal_size().columns, 40), 120)
    for number, field in enumerate(described):
        if number:
            print()
        print(f"{field.name} = {field.default}   ({field.type})")
        for text in (field.meaning.replace("`", ""), f"Must be {field.range}."):
            print(textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    "))
    return 0


def _text(name: str) -> str:
    from motion_vit.training.recipe.packaged import installed_recipe

    return installed_recipe(name).read_text(encoding="utf-8")
