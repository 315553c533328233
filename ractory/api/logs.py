"""How a line of the log is written: as one JSON object for machines (`json`), or for a person (`line`). Only what is
named here gets in: no header, no query string, no body; cut to a bound, and without secrets."""

import json
import logging
import time
from typing import Any

from ractory.api.metrics import route_of
from ractory.api.middleware import MAX_METHOD, MAX_PATH, current_caller, current_request, current_request_id
from ractory.api.redaction import cut, redacted

MAX_MESSAGE, MAX_LINE, MAX_EXCEPTION = 1000, 500, 20_000  # characters; of an exception each line, and all


def context() -> dict[str, Any]:
    """Which request a line is about, and whose it is; empty outside a request."""
    request = current_request.get()
    if request is None:
        return {}
    fields: dict[str, Any] = {"request_id": current_request_id.get()}
    if (caller := current_caller.get()) is not None:  # a log must not ask the database
        fields |= {"company": caller.company and str(caller.company), "caller": str(caller.guid)}
    method = cut(request.method or "", MAX_METHOD)
    return fields | {"method": method, "route": route_of(request), "path": cut(request.path, MAX_PATH)}


class JsonFormatter(logging.Formatter):
    """An object per line: `time` (UTC), `level`, `logger`, `message`; in a request its context; perhaps `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": cut(record.getMessage(), MAX_MESSAGE),
            **context(),
            **getattr(record, "answer", {}),
        }
        if record.exc_info:  # whose message may hold what a client sent
            lines = self.formatException(record.exc_info).split("\n")
            fields["exception"] = cut("\n".join(cut(line, MAX_LINE) for line in lines), MAX_EXCEPTION)
        return redacted(self.written(fields))

    def written(self, fields: dict[str, Any]) -> str:
        return json.dumps(fields, default=str)


class LineFormatter(JsonFormatter):
    """Time, level, logger, the request's id in brackets, message; below it a traceback, indented. A message is one
    line, whatever a client put into it: no one can forge another."""

    def written(self, fields: dict[str, Any]) -> str:
        moment, request = fields["time"].replace("T", " "), fields.get("request_id") or "-"
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in fields["message"])
        took = f" {fields['duration_ms']} ms" if "duration_ms" in fields else ""
        line = f"{moment} {fields['level']} {fields['logger']} [{request}] {message}{took}"
        return "\n".join([line, *fields.get("exception", "").splitlines()]).replace("\n", "\n    ")
