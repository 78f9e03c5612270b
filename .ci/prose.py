"""Checks the wording of docstrings and pages: prints each offender with its place and fails above the limits.

Run by `make lint` as `python .ci/prose.py`; arguments are files or folders to look at instead of everything.
"""

import argparse
import ast
import os
import pathlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Offenders that each check tolerates.
LIMITS = {"noun-clause": 0, "noun-phrase": 0, "empty-entry": 0, "capital-entry": 0, "long-sentence": 0}

CODE = ("motion_vit", "benchmarks", "configs", "docs", "launch", "notebooks", ".ci", "setup.py")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "notebooks")
LONGEST_SENTENCE = 40

# Openings of a docstring that name a question in place of its answer.
_CLAUSE = re.compile(r"(What|Whether|How|Which|Why|Where|When|Who|Whose|Of what|For how)\b")
# The opening of a function's docstring: a verb such as "Returns".
_VERB = re.compile(r"(?!This\b|Its\b)[A-Z][a-z-]*s\b")
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"( {2,4})(\*{0,2}\w+): (.*)")
# A list item, or a line such as "Expected time:    three minutes" of a recipe's header.
_ITEM = re.compile(r" *(- |\* |\d+\. |[A-Z][\w' ]*: {2,})")
_SENTENCE_END = re.compile(r"""(?<=[.!?])["')*]*\s+(?=["`]|['(*\[]*[A-Z0-9])""")
_STOP = re.compile(r"(?:a|an|the|of|its|this|that|to|in|for|is|are|be|it|as|by|with|and|or)", re.IGNORECASE)
# Words that keep their capital at the start of an entry: acronyms, identifiers, single letters and names.
_CAPITAL = re.compile(
    r"[B-Z]$|.+[A-Z0-9_]|(?:True|False|None|Grain|Orbax|Python|Flax|Kinetics|Farneback|Markdown|Muon|Sobel|Adam)\b"
    r"|(?:Gaussian|Sphinx|Linen)\b"
)


class Offender(NamedTuple):
    """One piece of text that a check does not accept."""

    path: pathlib.Path
    line: int
    check: str
    text: str

    def __str__(self) -> str:
        """Returns the offender in one line, its path relative to the repository."""
        return f"{os.path.relpath(self.path, ROOT)}:{self.line}: {self.check}: {self.text}"


class Entry(NamedTuple):
    """An argument, attribute or exception in a docstring."""

    line: int
    section: str
    name: str
    text: str


def stems(text: str) -> set[str]:
    """Returns the lower-case words of a text or identifier, without plural s and without articles and prepositions."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)
    return {part.lower().rstrip("s") for part in parts if not _STOP.fullmatch(part)}


def long_sentences(paragraph: str) -> Iterator[str]:
    """Yields the sentences with more than `LONGEST_SENTENCE` words; inline code and the text of a link count as words.

    Args:
      paragraph: prose in Markdown, on one line.
    """
    paragraph = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    paragraph = re.sub(r"`+[^`]*`+", "`code`", paragraph)
    for sentence in _SENTENCE_END.split(paragraph):
        words = [word for word in sentence.split() if re.search(r"\w", word)]
        if len(words) > LONGEST_SENTENCE:
            yield f"{len(words)} words: {' '.join(words[:10])} ..."


def docstring_parts(docstring: str, line: int) -> tuple[list[tuple[int, str]], list[Entry]]:
    """Splits a docstring in Google's form.

    Args:
      docstring: the text, with the indentation of its first line removed.
      line: the line of the file that it starts in.

    Returns:
      Paragraphs of prose with their lines, entries' descriptions included but not indented blocks; the entries.
    """
    paragraphs: list[tuple[int, str]] = []
    entries: list[Entry] = []
    section = ""
    fresh = True
    for number, text in enumerate(docstring.splitlines(), line):
        heading = _SECTION.match(text)
        if heading or not text.strip():
            section = heading[1] if heading else "" if not text.startswith(" ") and not section else section
            fresh = True
            continue
        if not text.startswith(" "):
            section = ""
        entry = _ENTRY.match(text) if section in ("Args", "Attributes", "Raises") else None
        if entry and len(entry[1]) == 2:
            entries.append(Entry(number, section, entry[2], entry[3]))
            paragraphs.append((number, entry[3]))
        elif section and not fresh and entries and section not in ("Returns", "Yields"):
            entries[-1] = entries[-1]._replace(text=f"{entries[-1].text} {text.strip()}")
            paragraphs[-1] = (paragraphs[-1][0], f"{paragraphs[-1][1]} {text.strip()}")
        elif text.startswith("  ") and not section:
            continue
        elif fresh or _ITEM.match(text):
            paragraphs.append((number, text.strip()))
        else:
            paragraphs[-1] = (paragraphs[-1][0], f"{paragraphs[-1][1]} {text.strip()}")
        fresh = False
    return paragraphs, entries


def is_action(node: ast.AST) -> bool:
    """Tells whether a node is a function or method that is called, not a property."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def annotations(node: ast.AST) -> dict[str, str]:
    """Returns name -> annotation of a function's arguments or of a class's fields and constructor arguments."""
    found: dict[str, str] = {}
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if isinstance(member, ast.AnnAssign):
                found[ast.unparse(member.target)] = ast.unparse(member.annotation)
            elif isinstance(member, ast.FunctionDef) and member.name == "__init__":
                found |= annotations(member)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = node.args
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            found[one.arg] = ast.unparse(one.annotation) if one.annotation else ""
    return found


def check_code(path: pathlib.Path) -> Iterator[Offender]:
    """Yields the offenders among the docstrings of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None:
            continue
        line = node.body[0].lineno
        opening = docstring.splitlines()[0]
        if _CLAUSE.match(opening):
            yield Offender(path, line, "noun-clause", opening)
        elif is_action(node) and not _VERB.match(opening):
            yield Offender(path, line, "noun-phrase", opening)
        types = annotations(node)
        paragraphs, entries = docstring_parts(docstring, line)
        for entry in entries:
            known = stems(entry.name) | stems(types.get(entry.name.lstrip("*"), ""))
            if entry.section != "Raises" and stems(entry.text) <= known:
                yield Offender(path, entry.line, "empty-entry", f"{entry.name}: {entry.text}")
            first = entry.text.split()[0].strip(",.:;")
            if first[:1].isupper() and not _CAPITAL.match(first):
                yield Offender(path, entry.line, "capital-entry", f"{entry.name}: {entry.text}")
        for place, paragraph in paragraphs:
            for sentence in long_sentences(paragraph):
                yield Offender(path, place, "long-sentence", sentence)


def page_paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yields line and text of the paragraphs and list items of a page; code, formulas, tables and headings are none."""
    fence = ""
    paragraph: list[str] = []
    start = 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        bare = line.strip()
        mark = re.match(r"```+|\$\$|---$", bare)
        ends = bool(fence or mark or not bare or bare.startswith(("|", "#", "<")) or re.match(r"- |\* |\d+\. ", bare))
        if ends and paragraph:
            yield start, " ".join(paragraph)
            paragraph = []
        if fence:
            fence = "" if bare.startswith(fence) or (fence == "$$" and bare.endswith("$$")) else fence
        elif mark and mark[0] == "---":
            fence = "---" if number == 1 else ""
        elif mark:
            fence = "" if mark[0] == "$$" and len(bare) > 2 and bare.endswith("$$") else mark[0]
        elif bare and not bare.startswith(("|", "#", "<")):
            start = start if paragraph else number
            paragraph.append(re.sub(r"^(- |\* |\d+\. )", "", bare))


def check_page(path: pathlib.Path) -> Iterator[Offender]:
    """Yields the sentences of a page that are too long."""
    for line, paragraph in page_paragraphs(path.read_text(encoding="utf-8")):
        for sentence in long_sentences(paragraph):
            yield Offender(path, line, "long-sentence", sentence)


def files(tops: tuple[str, ...], suffix: str) -> list[pathlib.Path]:
    """Returns the files with a suffix among and below `tops`, sorted."""
    found: set[pathlib.Path] = set()
    for top in tops:
        path = ROOT / top
        found.update(path.rglob(f"*{suffix}") if path.is_dir() else [path] if path.suffix == suffix else [])
    return sorted(found)


def main(arguments: list[str]) -> int:
    """Checks the files and prints offenders and counts.

    Args:
      arguments: the command line without the program.

    Returns:
      1 if a check finds more offenders than its limit, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", help="files or folders; everything by default")
    paths = tuple(str(pathlib.Path(path).resolve()) for path in parser.parse_args(arguments).paths)
    offenders = [offender for path in files(paths or CODE, ".py") for offender in check_code(path)]
    offenders += [offender for path in files(paths or PAGES, ".md") for offender in check_page(path)]
    counts = Counter(offender.check for offender in offenders)
    for offender in offenders:
        print(offender)
    for check, limit in LIMITS.items():
        print(f"{check}: {counts[check]} (limit {limit})")
    return int(any(counts[check] > limit for check, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
