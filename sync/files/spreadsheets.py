"""The first sheet of an XLSX, row by row, from any row on; never all of it at once. openpyxl reads what is around the
cells, and expat the cells: openpyxl takes four times as long for them, begins at the first row only, and takes a
formula without a stored result for an empty cell (docs/decisions/0024)."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.utils import column_index_from_string
from openpyxl.utils.datetime import from_excel
from openpyxl.utils.escape import unescape
from openpyxl.xml.constants import SHARED_STRINGS

from sync.files.reading import BadFile

# Bytes, unpacked: of a part that is read as a whole, of the texts that cells share, of the cells.
MAX_PART, MAX_TEXTS, MAX_CELLS = 8 * 1024 * 1024, 64 * 1024 * 1024, 1024 * 1024 * 1024
MAX_COLUMNS = 200
MAX_CELL = 64 * 1024  # characters, or some more; Excel takes half as many
CHUNK = 64 * 1024  # bytes

Cell = Any  # str, int, float, bool, None; {"date": "2026-05-01T00:00:00"}; {"error": why there is no value}
Position = tuple[int, int, int]  # bytes of XML before the first row, bytes before the last one read, its number


class _Archive(ZipFile):
    """A ZIP of which no part unpacks to more bytes than it may. zipfile unpacks no more than the directory says."""

    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        return self.opened(name, MAX_PART).read()

    def opened(self, name: str, limit: int) -> IO[bytes]:
        if self.getinfo(name).file_size > limit:
            raise BadFile(f"{name} in it unpacks to more than {limit // 2**20} MiB")
        return self.open(name)


class Sheet:
    """The first visible sheet of a workbook. Raises BadFile, as `rows` does, for what can't be read."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            reader = ExcelReader(file, read_only=True, keep_links=False)
            reader.archive = self._archive = _Archive(file)
            reader.read_manifest()
            reader.read_workbook()
            apply_stylesheet(self._archive, reader.wb)
            found = reader.parser.find_sheets()
            (self.name, self._path), *others = [(one.name, rel.target) for one, rel in found if one.state == "visible"]
        except BadFile:
            raise
        except Exception as error:  # whatever a library makes of a broken file
            raise BadFile("it is no XLSX, or a damaged one: save it anew in a spreadsheet program") from error
        self.others = [name for name, _ in others]
        self.merged: list[str] = []  # the ranges of merged cells; known once all rows are read
        self._dates, self._epoch = reader.wb._date_formats, reader.wb.epoch
        self._texts = reader.package.find(SHARED_STRINGS)

    def rows(self, position: Position | None = None) -> Iterator[tuple[int, list[Cell], Position]]:
        """The rows after `position`, or all of them: the number in the sheet, the cells, the position after it. Empty
        rows may be missing."""
        head, start, last = position or (0, 0, 0)
        number, cells, texts = last - bool(position), list[Cell](), list[str]()
        try:
            if self._texts:
                with self._archive.opened(self._texts.PartName[1:], MAX_TEXTS) as part:
                    texts = [text for _, _, text, _ in _elements(part, "si")]
            with self._archive.opened(self._path, MAX_CELLS) as part:
                for name, attributes, text, at in _elements(part, "c", position):
                    if name == "c":
                        value = self._value(attributes, text, texts)
                        letters = attributes.get("r", "").rstrip("0123456789")
                        place = column_index_from_string(letters) if letters else len(cells) + 1
                        if value is not None and place > MAX_COLUMNS:
                            raise BadFile(f"it has more than {MAX_COLUMNS} columns", number)
                        if place <= MAX_COLUMNS:
                            cells += [*[None] * (place - 1 - len(cells)), value]
                    elif name == "row":
                        if number > last:
                            yield number, cells, (head, start, number)
                        number, cells = int(attributes.get("r", number + 1)), []
                        head, start = head or at, at
                    else:
                        self.merged.append(attributes["ref"])
        except (BadZipFile, zlib.error, EOFError, expat.ExpatError, LookupError, ValueError, RuntimeError) as error:
            raise BadFile(f"the sheet “{self.name}” is damaged: {error}", number) from error
        if number > last:
            yield number, cells, (head, start, number)

    def _value(self, attributes: dict[str, str], text: str | None, texts: list[str]) -> Cell:
        kind = attributes.get("t", "n")
        if not text:
            return None if text is None else {"error": "a formula without its result"}
        if kind in ("s", "str", "inlineStr", "e"):
            return texts[int(text)] if kind == "s" else text
        if kind == "b":
            return text == "1"
        if kind == "d":
            return {"date": text}
        number = float(text)
        if int(attributes.get("s", 0)) in self._dates:
            with suppress(OverflowError, ValueError):  # it is none between the years 1 and 9999
                return {"date": from_excel(number, self._epoch).isoformat()}
        return int(number) if number.is_integer() else number


def _elements(part: IO[bytes], unit: str, position: Position | None = None) -> Iterator[tuple[str, Any, Any, int]]:
    """The elements of this name at their ends, with their attributes and the text of their <t> or <v> (None: nothing,
    nor a formula); each <row> and <mergeCell>, with the place where it begins. What a position leaves out is passed."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    found: list[tuple[str, Any, Any, int]] = []
    text: list[str] = []
    within: Any = None
    has_formula, shift = False, 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal within, has_formula
        name = name.rpartition(":")[2]
        if name == unit:
            within, has_formula = attributes, False
            text.clear()
        elif name in ("t", "v"):
            parser.CharacterDataHandler = text.append
        elif name == "rPh":  # how the text is pronounced
            text.append("\0")
        elif name == "f":
            has_formula = True
        elif name in ("row", "mergeCell"):
            found.append((name, attributes, None, parser.CurrentByteIndex + shift))

    def end(name: str) -> None:
        parser.CharacterDataHandler = None
        name = name.rpartition(":")[2]
        if name == unit:
            said = "".join(text)
            if "_x" in said:  # _x000D_, say, is a carriage return
                said = unescape(said)
            found.append((name, within, said if said or has_formula or unit == "si" else None, 0))
        elif name == "rPh":
            del text[text.index("\0") :]

    def refuse(*arguments: object) -> None:
        raise BadFile("it declares entities, as no spreadsheet program does")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = begin, end, refuse
    if position:
        head, at, _ = position
        parser.Parse(part.read(head))
        part.seek(at)
        shift = at - head
    while chunk := part.read(CHUNK):
        parser.Parse(chunk)
        yield from found
        found.clear()
        if sum(map(len, text)) > MAX_CELL:
            raise BadFile(f"a cell of it has more than {MAX_CELL} characters")
    parser.Parse(b"", True)
    yield from found
