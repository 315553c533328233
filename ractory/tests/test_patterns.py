"""No text costs more than in proportion to its length: every pattern of the server, each on its worst input.

Each is timed on a text and on one four times as long: a pattern that takes the square of the length would need sixteen
times as long.
"""

import ast
import importlib
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pydantic_core import PydanticCustomError

from bench.faults.server import ROOT
from ractory.api import query
from ractory.api.redaction import holds_secret, redacted
from sync import schemas

FILES = [
    path
    for package in ("ractory", "tenants", "pieces", "sync")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not {"tests", "migrations"} & set(path.relative_to(ROOT).parts)
]
# Functions with a pattern of their own: for what the operator gives them, or of a fixed length.
OF_THEIR_OWN = {
    "ractory/variables.py::rate",
    "ractory/variables.py::parse",
    "tenants/management/printing.py::duration",
    "sync/files/reading.py::_head",
    "sync/admin/plain_words.py::in_plain_words",
    "sync/admin/editing.py::to_python",
    "pieces/admin/labels.py::bars",
}
Worst = Callable[[int], Any]


def of(*units: str) -> list[Worst]:
    return [partial(repeated, unit) for unit in units]


def raw(*units: bytes) -> list[Worst]:
    return [partial(repeated, unit) for unit in units]


def repeated(unit: Any, length: int) -> Any:
    return unit * (length // len(unit))


def between(start: str, unit: str, end: str) -> Worst:
    return lambda length: start + unit * length + end


# The method that the code calls, and texts on which it has most to do.
WORST: dict[str, tuple[str, list[Worst]]] = {
    "ractory.api.body._STRING": ("sub", raw(b'"', b'"[', b'""{')),
    "ractory.api.middleware.SANE_ID": ("fullmatch", of("a", "a\0")),
    "ractory.api.query.MOMENT": (
        "fullmatch",
        [*of("T", "1", " ", "2026-05-01T"), between("2026-05-01T10:00:00.", "1", "x")],
    ),
    "ractory.api.query.WHOLE": ("fullmatch", of("1", "-")),
    "ractory.api.redaction.KEY": ("sub", of("rfk_", "rfk_1234567", "rfk_12345678", "a", "_")),
    "ractory.api.redaction.TOKEN": (
        "sub",
        of("eyJ", "eyJ-", "eyJa.", "eyJ.", "a.eyJ", "eyJa..", "eyJa.b.", "a", "-", ".", "a.", "eyJa.eyJ ", "é"),
    ),
    "ractory.api.redaction.ReportFilter.hidden_settings": ("search", of("A", "API", "TOKE", "DATABASE_")),
    "pieces.admin.page.RASTER_IMAGE": ("match", raw(b"\x89PNG", b"RIFF")),
    "sync.admin.editing.RASTER_IMAGE": ("match", raw(b"\x89PNG", b"RIFF")),
    "sync.admin.editing.WholeNumber.re_decimal": ("search", of("1", ".")),
    "sync.admin.plain_words.PLACE": ("sub", of("pieces[", "pieces[1", "pieces[1]", "p")),
    "sync.admin.plain_words.QUOTED": ("sub", of('"', '"\\', "\\", '"a')),
    "pieces.admin.exporting.MARKUP": (
        "sub",
        of("<", '<time datetime="', '<time datetime="">', '<a class="button', '<a class="button">', "<b>", "<a "),
    ),
    "pieces.admin.exporting.NO_XML": ("sub", of("\0", "_", "_x", "_x0", "_x0000_", "a")),
    "ractory.variables.ORIGIN": ("fullmatch", of("http://a", "a.", "https://[", "1", ":")),
    "sync.legacy.BCRYPT": ("fullmatch", of("$2b$12$", "a", "$2b$12$" + "a" * 53)),
    "sync.snapshots.PERCENT": ("fullmatch", of("1", "100", "1.", "%")),
    "sync.schemas.CANONICAL": ("fullmatch", of("a", "abcdef01-", "abcd-")),
    "sync.schemas.NUMBER": ("fullmatch", [*of(" ", "1", "1.", " 1"), between("1", " ", "x"), between(" ", "1", "x")]),
    "sync.schemas.NUMERIC": ("fullmatch", [*of(" ", "1", "1.0"), between("1.0", " ", "x"), between("1.", "0", "x")]),
    "sync.files.tables.ESCAPED": ("fullmatch", of("\\", "\\N")),
    "pieces.formulas.MAYBE_FORMULA": ("search", of("a", " ")),
    "pieces.formulas.FORMULA": ("sub", of(",", ", ", "\\", " ", ",\\", ", \\", "\\ ,", "=", ",=", ", =")),
    "pieces.formulas.ESCAPED_FORMULA": ("sub", of(",", ", ", "\\", ",\\", ",\\ ", "\\ ,", ",\\=")),
    "sync.files.tables.IN_BRACKETS": ("sub", of("(", "(a", "()", "[)")),
    "sync.files.tables.THOUSANDS": ("fullmatch", of("1", "1.000", ".")),
    "sync.files.tables.DECIMAL_COMMA": ("fullmatch", [*of("1", "1,0"), between("1,", "0", "x")]),
    "sync.files.tables.SHORTENED": ("fullmatch", [*of("1", "1.1E+"), between("1.", "1", "E+x")]),
    "sync.files.tables.WENT_WRONG": ("fullmatch", of("#", "#N/A")),
    "sync.files.tables.GERMAN_DATE": ("fullmatch", of("1", "1.1.2026")),
    "sync.files.tables.WHOLE": ("fullmatch", of("1", "+")),
    "sync.files.reading.MARK": ("search", of(" ", "\n\t")),
    "sync.files.reading.END": ("match", of("]", " ")),
    "sync.files.reading.SEPARATOR": ("match", of(",", " ")),
    "sync.files.reading.CLOSING": ("match", of("}", " ")),
    # These see SQL, where what a client sends is a parameter.
    "tenants.postgresql.base.ROWLESS": ("match", of(" ", "CREATE ", "CREATE  ", "ROLLBACK")),
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def compiled() -> dict[str, "re.Pattern[Any]"]:
    """The patterns that modules and classes hold, by the name under which they were compiled first."""
    found: dict[str, re.Pattern[Any]] = {}
    for path in FILES:
        if "re.compile" not in path.read_text():
            continue
        module = importlib.import_module(module_of(path))
        holders = [
            module,
            *(kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__),
        ]
        for holder in holders:
            prefix = module.__name__ if holder is module else f"{module.__name__}.{getattr(holder, '__name__', '')}"
            for name, value in vars(holder).items() if hasattr(holder, "__dict__") else ():
                if isinstance(value, re.Pattern):
                    found[f"{prefix}.{name}"] = value
    return found


def calls_within_functions() -> set[str]:
    """The functions that use a pattern which no module or class holds."""
    found = set()
    for path in FILES:
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                uses = (node for node in ast.walk(function) if isinstance(node, ast.Call))
                if any(isinstance(use.func, ast.Attribute) and ast.unparse(use.func.value) == "re" for use in uses):
                    found.add(f"{path.relative_to(ROOT)}::{function.name}")
    return found


def test_every_pattern_of_the_server_has_a_worst_input() -> None:
    assert set(compiled()) == set(WORST)
    assert calls_within_functions() == OF_THEIR_OWN


def seconds(work: Callable[[Any], Any], text: Any) -> float:
    """Of the processor, and the least of several: others are busy on this machine, too."""
    times = []
    for _ in range(7):
        began = time.thread_time()
        work(text)
        times.append(time.thread_time() - began)
    return min(times)


def growth(work: Callable[[Any], Any], worst: Worst, length: int) -> float:
    """How many times as long four times the text takes; what takes next to no time is not measured."""
    blur = 50e-6
    return (seconds(work, worst(4 * length)) + blur) / (seconds(work, worst(length)) + blur)


@pytest.mark.parametrize("name", sorted(compiled()))
def test_a_pattern_takes_no_more_than_in_proportion(name: str) -> None:
    pattern = compiled()[name]
    method, worst = WORST[name]
    empty = b"" if isinstance(pattern.pattern, bytes) else ""
    call: Any = getattr(pattern, method)
    work = (lambda text: call(empty, text)) if method == "sub" else call
    for number, text in enumerate(worst):
        assert growth(work, text, 4000) <= 8, f"input {number}"


@pytest.mark.parametrize("work", [redacted, holds_secret], ids=lambda work: str(work.__name__))
@pytest.mark.parametrize("text", WORST["ractory.api.redaction.TOKEN"][1])
def test_secrets_are_looked_for_in_proportion(work: Callable[[Any], Any], text: Worst) -> None:
    assert growth(work, text, 4000) <= 8


def refusing(work: Callable[[Any], Any]) -> Callable[[Any], None]:
    def run(text: Any) -> None:
        with pytest.raises((ValidationError, PydanticCustomError)):
            work(text)

    return run


MOMENT = query.Moment(required=False)
READERS: dict[str, tuple[Callable[[Any], Any], Worst]] = {
    "a whole number of the query": (query.Whole(0, 10).to_python, between("", "1", "")),
    "a moment of the query": (MOMENT.to_python, between("", "T", "")),
    "a moment with a fraction": (MOMENT.to_python, between("2026-05-01T10:00:00.", "1", "")),
    "a guid of the query": (query.Guid(required=False).to_python, between("", "-", "")),
    "spaces where a body has a number": (schemas._integer, between("", " ", "")),
    "digits where a body has a number": (schemas._integer, between("", "1", "")),
    "spaces where a body has a moment": (schemas._no_number, between("", " ", "x")),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_far_too_long_is_refused_before_it_is_looked_at(name: str) -> None:
    """30 MB of spaces in a field of numbers, say: its length is no reason to take longer."""
    work, worst = READERS[name]
    assert growth(refusing(work), worst, 200_000) <= 2
