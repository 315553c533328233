"""Calling `manage.py` in tests, as a shell would: what it prints, what it says on stderr, its exit code."""

import json
import logging
from dataclasses import dataclass
from io import StringIO
from typing import Any
from unittest import mock

import pytest

from manage import main
from tenants.scope import within


@dataclass(frozen=True, slots=True)
class Outcome:
    command: str
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that `--json` prints; nothing else may be on stdout."""
        answer: dict[str, Any] = json.loads(self.out)
        return answer

    @property
    def complaint(self) -> str:
        """What a bad argument gets: a non-zero exit, nothing on stdout, one line on stderr, without its beginning."""
        assert self.code != 0
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        begin, _, complaint = self.err.rstrip("\n").partition(": error: ")
        assert begin == f"manage.py {self.command}"
        return complaint


class Manage:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object, stdin: str = "") -> Outcome:
        code: Any = 0
        self.capsys.readouterr()  # what was printed before is not the command's
        # The connections stay, and the log's handlers are put back: they are the tests'.
        closing = mock.patch("django.core.management.base.connections.close_all")
        handlers: Any = mock.patch.object(logging.getLogger(), "handlers", [])
        with closing, handlers, mock.patch("sys.stdin", StringIO(stdin)), within(None):
            try:
                code = main(["manage.py", *map(str, arguments)])
            except SystemExit as stop:
                code = stop.code or 0
        printed = self.capsys.readouterr()
        return Outcome(str(arguments[0]), code, printed.out, printed.err)
