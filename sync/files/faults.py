"""Telling which rows of a file are at fault, and why: to a file of NDJSON, or the first ones to a person."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import orjson

from pieces.models import Entity
from ractory.api.body import is_crowded
from ractory.api.errors import Fault
from ractory.api.rendering import to_json
from sync.files.rows import Row

SHOWN = 10  # rows that are shown to a person


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row that was left out, and every reason."""

    row: Row
    faults: Sequence[Fault]

    def as_wire(self, model: type[Entity]) -> dict[str, Any]:
        """With what could be read of it."""
        item = {}
        if not is_crowded(self.row.raw):
            with suppress(orjson.JSONDecodeError):
                item = orjson.loads(self.row.raw)
        names = ("guid", *(name for name in ("piece_id", "code") if hasattr(model, name)))
        known = {name: item.get(name) if isinstance(item, dict) else None for name in names}
        faults = [{"field": _field(fault), "msg": fault.msg, "type": fault.type} for fault in self.faults]
        return {"line": self.row.line, **known, "faults": faults}

    def __str__(self) -> str:
        reasons = (f"{_field(fault)}: {fault.msg}" if _field(fault) else fault.msg for fault in self.faults)
        return f"line {self.row.line}: {'; '.join(reasons)}"


def _field(fault: Fault) -> str | int | None:
    return fault.loc[3] if len(fault.loc) > 3 else None


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
