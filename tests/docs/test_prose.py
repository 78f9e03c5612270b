"""Docstrings and pages keep to the wording that `make lint` checks, and the check finds what departs from it."""

import pathlib
import textwrap

import prose
import pytest

_PLAIN = '''
"""A file of toys."""

class Toy:
    """A toy.

    Attributes:
      width: centimetres across.
    """

    width: int

    @property
    def area(self) -> int:
        """Square centimetres."""
        return self.width**2


def wind(toy: Toy, turns: int) -> Toy:
    """Winds a toy up.

    Args:
      toy: left as it is.
      turns: of the key, clockwise.

    Returns:
      A wound toy.

    Raises:
      ValueError: RGB toys have no key.
    """
    return toy
'''


def found(tmp_path: pathlib.Path, code: str) -> list[tuple[str, int]]:
    path = tmp_path / "toys.py"
    path.write_text(textwrap.dedent(code).lstrip(), encoding="utf-8")
    return [(offender.check, offender.line) for offender in prose.check_code(path)]


def test_plain_docstrings_pass(tmp_path: pathlib.Path) -> None:
    assert found(tmp_path, _PLAIN) == []


@pytest.mark.parametrize(
    ("plain", "changed", "check", "line"),
    [
        ("A file of toys.", "What toys there are.", "noun-clause", 1),
        ("A toy.", "How wide a toy is.", "noun-clause", 4),
        ("Winds a toy up.", "The wound toy.", "noun-phrase", 19),
        ("Winds a toy up.", "Whether it winds.", "noun-clause", 19),
        ("toy: left as it is.", "toy: the toy.", "empty-entry", 22),
        ("turns: of the key, clockwise.", "turns: the turns, integers.", "empty-entry", 23),
        ("turns: of the key", "turns: Of the key", "capital-entry", 23),
        ("ValueError: RGB toys", "ValueError: Red toys", "capital-entry", 29),
        ("A wound toy.", "A toy that " + "turns and " * 20 + "stops.", "long-sentence", 26),
    ],
)
def test_each_departure_is_found_in_its_line(
    tmp_path: pathlib.Path, plain: str, changed: str, check: str, line: int
) -> None:
    assert _PLAIN.count(plain) == 1
    code = _PLAIN.replace(plain, changed).replace("integers", "int")
    assert found(tmp_path, code) == [(check, line)]


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("One two.\n\n" + "word " * 40 + "end.\n", [3]),
        ("word " * 39 + "end.\n", []),
        ("word " * 30 + "end. " + "Word " * 30 + "end.\n", []),
        ("- " + "word " * 30 + "\n- " + "word " * 30 + "\n", []),
        ("- " + "word " * 30 + "\n  " + "word " * 30 + "\n", [1]),
        ("`" + "word " * 50 + "` is code, [link](" + "word" * 50 + ") a word.\n", []),
        ("```bash\n" + "word " * 50 + "\n```\n" + "word " * 50 + "\n", [4]),
        ("| " + "word " * 50 + " |\n", []),
        ("$$\n" + "word " * 50 + "\n$$\n", []),
    ],
)
def test_long_sentences_of_pages_are_found(tmp_path: pathlib.Path, page: str, lines: list[int]) -> None:
    path = tmp_path / "page.md"
    path.write_text(page, encoding="utf-8")
    assert [offender.line for offender in prose.check_page(path)] == lines


@pytest.mark.slow
def test_the_repository_keeps_to_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    status = prose.main([])
    assert status == 0, capsys.readouterr().out


def test_an_offender_is_printed_with_its_place_and_fails(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "toys.py"
    path.write_text('"""What toys there are."""\n', encoding="utf-8")
    assert prose.main([str(path)]) == 1
    assert "toys.py:1: noun-clause: What toys there are.\n" in capsys.readouterr().out
