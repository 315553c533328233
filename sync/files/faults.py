"""Telling which rows of a file are at fault, and why: to a file of NDJSON, or the first ones to a person."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from pieces.models import Entity
from ractory.api.errors import Fault
from ractory.api.rendering import to_json
from sync.files.rows import Row

SHOWN = 10  # rows that are shown to a person


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row that was left out, what could be read of it, and every reason."""

    row: Row
    item: dict[str, Any]
    faults: Sequence[Fault]

    def as_wire(self, model: type[Entity]) -> dict[str, Any]:
        names = ("guid", *(name for name in ("piece_id", "code") if hasattr(model, name)))
        known = {name: self.item.get(name) for name in names}
        return {"line": self.row.line, **known, "faults": [_as_wire(fault) for fault in self.faults]}

    def in_receipt(self, model: type[Entity]) -> list[dict[str, Any]]:
        """The faults as a receipt lists them. The place of the item is its line, counted from 0 as indexes are."""
        place = ("body", model.plural, self.row.line - 1)
        return [
            Fault((*place, *fault.loc[3:]), f"Line {self.row.line}: {fault.msg}", fault.type).as_wire()
            for fault in self.faults
        ]

    def __str__(self) -> str:
        told = (f"{fault.loc[3]}: {fault.msg}" if len(fault.loc) > 3 else fault.msg for fault in self.faults)
        return f"line {self.row.line}: {'; '.join(told)}"


def _as_wire(fault: Fault) -> dict[str, Any]:
    return {"field": fault.loc[3] if len(fault.loc) > 3 else None, "msg": fault.msg, "type": fault.type}


class FaultyRows:
    """Where the faulty rows go. What is written belongs to a batch, and stays only once the batch is kept."""

    def __init__(self, model: type[Entity], file: IO[bytes] | None, show: Callable[[str], None]) -> None:
        self.model, self.file, self.show = model, file, show
        self._kept = file.tell() if file else 0
        self._shown = 0
        self._batch: Sequence[FaultyRow] = ()

    @property
    def size(self) -> int:
        """Bytes of the file, with the batch that is being written."""
        return self.file.tell() if self.file else 0

    def write(self, rows: Sequence[FaultyRow]) -> None:
        """Puts them on the disk, in place of those of an attempt that was given up."""
        self._batch = rows
        if self.file is None or (not rows and self.size == self._kept):
            return
        self.file.seek(self._kept)
        self.file.truncate()
        self.file.writelines(to_json(row.as_wire(self.model)) + b"\n" for row in rows)
        self.file.flush()
        os.fsync(self.file.fileno())

    def keep(self) -> None:
        """The batch has been committed."""
        self._kept = self.size
        if self.file is None:
            for row in self._batch[: SHOWN - self._shown]:
                self.show(str(row))
            self._shown = min(SHOWN, self._shown + len(self._batch))
