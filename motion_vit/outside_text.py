r"""Makes text from outside safe to show: labels, file names, and what other programs say.

Such text can hold escape sequences that a terminal obeys, signs that reverse or hide what stands around them, halves of
characters that cannot be encoded, formulas that a spreadsheet computes, and marks that HTML, Markdown and Matplotlib
read. Each place that shows text has one function here. All of them write what cannot be seen as Python does: `\x1b`,
`\u202e`.
"""

import html
import re
import unicodedata

LONGEST_NAME = 200
"""Characters of a file name that are shown on a terminal."""

LONGEST_LABEL = 80
"""Characters of a label that are shown on a terminal."""

LONGEST_IN_PLOT = 60
"""Characters of a name that are shown in a picture."""

_GAP = "..."

# Control characters, signs without a width, which also turn the direction of a line, halves of characters, and signs
# that break a line.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")

# What spreadsheets take for the start of a formula, ASCII or of full width, also behind blanks, and behind apostrophes
# that this module or another has put in front.
_FORMULA = re.compile("[' ]*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?")

# `_` is left: inside of a word it marks nothing, and names are full of it.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&$#]")

# WebVTT reads tags, entities and arrows; players of SubRip also read tags, and commands in braces.
_SUBTITLE_SIGNS = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")", "&": "+"})


def visible(text: str, *, kept: str = "") -> str:
    """Writes characters that cannot be seen, or do something, as escape sequences of Python.

    Args:
      text: from outside, or with parts from outside.
      kept: such characters that stay.

    Returns:
      The text. Text that can be seen stays as it is, in any script.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(character) if unicodedata.category(character) in _UNSEEN and character not in kept else character
        for character in text
    )


def for_terminal(name: str, longest: int = LONGEST_NAME) -> str:
    """Makes a label or a file name safe to print in a line.

    Args:
      name: from outside.
      longest: characters; of a longer name the middle is left out.

    Returns:
      One line.
    """
    return shortened(visible(name), longest)


def for_plot(text: str, longest: int = LONGEST_IN_PLOT) -> str:
    """Makes text safe to draw. `motion_vit.files.figure_file` has Matplotlib draw `$` as it is.

    Args:
      text: from outside.
      longest: characters of a line; of a longer one the middle is left out.

    Returns:
      The text, of as many lines.
    """
    return "\n".join(shortened(visible(line), longest) for line in text.split("\n"))


def for_csv(text: str) -> str:
    """Makes text safe for a cell of a table.

    Args:
      text: from outside.

    Returns:
      One line, with an apostrophe in front where a spreadsheet would compute it. Numbers, such as -1.5, stay as they
      are.
    """
    seen = visible(text)
    return f"'{seen}" if _FORMULA.match(seen) and not _NUMBER.fullmatch(seen) else seen


def from_csv(cell: str) -> str:
    """Takes off the apostrophe that `for_csv` put in front of a text.

    Args:
      cell: of a table that was written with `for_csv`.

    Returns:
      The text that it was made of, in its visible form.
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def for_html(text: str) -> str:
    """Makes text safe for a page, between tags and in attributes.

    Args:
      text: from outside.

    Returns:
      HTML.
    """
    return html.escape(visible(text))


def for_frame(page: str) -> str:
    """Makes a whole page safe for the attribute `srcdoc` of a frame in another page; the frame shows it unchanged.

    Args:
      page: HTML, in which text from outside is safe already.

    Returns:
      The content of an attribute in double or single quotes.
    """
    return html.escape(page)


def for_subtitle(text: str) -> str:
    """Makes text safe for a line of subtitles, SubRip or WebVTT: players read tags, and what ends a line of times.

    Args:
      text: from outside.

    Returns:
      One line with signs that look alike in the places of `<`, `>`, `{`, `}` and `&`.
    """
    return visible(text).translate(_SUBTITLE_SIGNS)


def for_markdown(text: str) -> str:
    """Makes text safe for a line or the cell of a table in Markdown.

    Args:
      text: from outside.

    Returns:
      Markdown that shows the text.
    """
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def lines_for_terminal(text: str, longest: int | None = None) -> str:
    """Makes whole lines, such as a message with names in it, safe to print; line breaks and tabs stay.

    Args:
      text: with parts from outside.
      longest: characters of a line; of a longer one the middle is left out. None leaves nothing out.

    Returns:
      The lines.
    """
    seen = visible(text, kept="\n\t")
    return seen if longest is None else "\n".join(shortened(line, longest) for line in seen.split("\n"))


def shortened(text: str, longest: int) -> str:
    """Leaves out the middle of a long text.

    Args:
      text: any.
      longest: characters of the result.

    Returns:
      The text, with its start and its end.
    """
    if len(text) <= longest:
        return text
    kept = longest - len(_GAP)
    return text[: kept - kept // 3] + _GAP + text[len(text) - kept // 3 :]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
