"""What every answer must be, whatever was asked: the contract, as far as it holds for any request."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

from bench.fuzzing.surface import OTHER_METHOD, Operation, Surface
from bench.fuzzing.wire import Answer, Request
from bench.fuzzing.world import HIDDEN, MARKERS, Somebody, World

MAX_FAULTS = 101
SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
HEADER_VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")  # gunicorn sends no other
PAGE_STATUSES = frozenset({200, 302, 304, 400, 403, 404, 405, 409, 413, 414, 422, 429})
OUTSIDE = frozenset({200, 206, 301, 302, 304, 400, 401, 403, 404, 405, 416})  # /, /static/…, /metrics: not the API's


class Oracle:
    """Checks answers; knows which receipts are whose."""

    def __init__(self, world: World, surface: Surface) -> None:
        self.world, self.surface = world, surface
        self.runs: dict[str, str] = {}

    def endpoint(self, request: Request) -> str:
        """A name for statistics."""
        operations = self.surface.at(request.path)
        of_method = next(
            (operation.id for operation in operations if operation.method == effective(request.method)), None
        )
        if of_method or operations:
            return of_method or "other method"
        return (
            "admin"
            if request.path.startswith("/admin")
            else "unknown path"
            if request.path.startswith("/api")
            else "outside"
        )

    def complaints(self, request: Request, answer: Answer) -> Iterator[str]:
        """Everything that is wrong with the answer; begins with a stable name of the rule."""
        operations = self.surface.at(request.path)
        caller = self.world.callers[request.caller]
        if answer.status >= 500:
            yield f"5xx: {answer.status}"
        elif answer.log:
            yield f"log: an error was logged with a {answer.status}"
        allowed = self._statuses(request, operations)
        if answer.status < 500 and answer.status not in allowed:
            yield f"status: {answer.status} is not documented ({sorted(allowed)})"
        yield from self._headers(request, answer, operations)
        yield from self._leaks(caller, answer)
        if is_api(request) and request.method != "HEAD":
            yield from self._body(request, answer, operations, caller)
        if answer.leaves_scope:
            yield "scope: one is left behind"

    def _statuses(self, request: Request, operations: list[Operation]) -> frozenset[int]:
        if not operations:
            if request.path.startswith("/admin"):
                return PAGE_STATUSES
            return frozenset({400, 404, 405}) if is_api(request) else OUTSIDE
        method = effective(request.method)
        for operation in operations:
            if operation.method == method:
                return operation.statuses
        if method == "OPTIONS":  # says what there is, after the same checks
            return OTHER_METHOD.union({200}, *(operation.statuses for operation in operations))
        return OTHER_METHOD

    def _headers(self, request: Request, answer: Answer, operations: list[Operation]) -> Iterator[str]:
        sent, found = request.header("X-Request-ID"), answer.header("X-Request-ID")
        if not found or not SANE_ID.fullmatch(found):
            yield f"header: X-Request-ID is {found!r}"
        elif SANE_ID.fullmatch(sent) and found != sent:
            yield "header: X-Request-ID is not the client's own"
        for name, value in answer.headers:
            if not HEADER_VALUE.fullmatch(value):
                yield f"header: {name} can't be sent: {value[:100]!r}"
        if request.method != "HEAD" and answer.header("Content-Length") not in (None, str(len(answer.body))):
            yield f"header: Content-Length {answer.header('Content-Length')} of {len(answer.body)} bytes"
        needed = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After"}.get(answer.status)
        if needed and answer.header(needed) is None and not request.path.startswith("/admin"):
            yield f"header: a {answer.status} without {needed}"
        if request.method == "POST" and any(operation.kind == "sync" for operation in operations):
            yield from self._receipt(request, answer)

    def _receipt(self, request: Request, answer: Answer) -> Iterator[str]:
        run = answer.header("X-Sync-Run")
        if answer.status in (401, 403, 429):
            if run:
                yield f"header: X-Sync-Run of a {answer.status}"
            return
        if not run or str(uuid.UUID(run)) != run:
            yield f"header: X-Sync-Run of a {answer.status} is {run!r}"
        elif run not in self.runs:
            self.runs[run] = request.caller
        elif answer.header("Idempotent-Replayed") != "true" or not self._is_same(self.runs[run], request.caller):
            yield "header: X-Sync-Run comes a second time"

    def _is_same(self, one: str, other: str) -> bool:
        """A key is the same caller in either header."""
        return one.removesuffix(" in Authorization") == other.removesuffix(" in Authorization")

    def _leaks(self, caller: Somebody, answer: Answer) -> Iterator[str]:
        head = "\n".join(value for _, value in answer.headers).encode("latin-1", "replace")
        for name, marker in MARKERS.items():
            if caller.company in ("", name):
                continue
            for sign in (marker.encode(), HIDDEN[name].encode()):
                if sign in answer.body or sign in head:
                    yield f"leak: {caller.name} sees {sign.decode()}"
        secret = self.world.secrets[caller.name].encode()
        if secret and secret in answer.body:
            yield "leak: the caller's own secret is in the answer"
        if secret and any(secret.decode() in line for line in answer.log):
            yield "leak: the caller's secret is in the log"

    def _body(self, request: Request, answer: Answer, operations: list[Operation], caller: Somebody) -> Iterator[str]:
        if answer.status == 204:
            if answer.body:
                yield "body: a 204 has one"
            return
        kind = answer.header("Content-Type") or ""
        if answer.status == 200 and not operations:
            return  # the document and its page
        if kind != "application/json":
            yield f"body: Content-Type of a {answer.status} is {kind!r}"
        found = answer.json()
        if found is None:
            yield f"body: a {answer.status} is no JSON: {answer.body[:100]!r}"
        elif answer.status >= 400:
            yield from _envelope(answer.status, found)
        elif request.method == "GET" and caller.company and isinstance(found, list):
            own = str(self.world.companies[caller.company])
            if any(item.get("company_guid", own) != own for item in found):  # `fields` may leave it out
                yield "leak: a row of another company is listed"
        elif request.method == "POST" and operations[0].kind == "sync":
            yield from _result(request, found)


def effective(method: str) -> str:
    """HEAD is as GET, and Django takes a method in any case."""
    return "GET" if method.upper() == "HEAD" else method.upper()


def is_api(request: Request) -> bool:
    return request.path.startswith(("/api/", "/health"))


def _envelope(status: int, found: Any) -> Iterator[str]:
    if not isinstance(found, dict) or "detail" not in found:
        yield f"envelope: {str(found)[:100]}"
    elif status != 422:
        if not isinstance(found["detail"], str) or not found["detail"]:
            yield f"envelope: the detail of a {status} is no text: {str(found)[:100]}"
    elif not isinstance(found["detail"], list) or not 1 <= len(found["detail"]) <= MAX_FAULTS:
        yield f"envelope: the detail of a 422 is no list of 1 to {MAX_FAULTS}: {str(found)[:100]}"
    else:
        for fault in found["detail"]:
            is_right = set(fault) == {"loc", "msg", "type"} and fault["loc"][:1] in (["body"], ["query"])
            if not (is_right and isinstance(fault["msg"], str) and re.fullmatch(r"[a-z0-9_]+", fault["type"])):
                yield f"envelope: a fault is {fault}"
                return


def _result(request: Request, found: dict[str, Any]) -> Iterator[str]:
    names = {"inserted", "updated"} | found.keys() & {"dry_run", "items"}
    if set(found) != names or not all(type(found[name]) is int for name in ("inserted", "updated")):
        yield f"body: of a 200: {str(found)[:200]}"
    elif "items" in found and len(found["items"]) != found["inserted"] + found["updated"]:
        yield f"body: {len(found['items'])} items of {found['inserted']} + {found['updated']}"


def writable(request: Request, answer: Answer, caller: Somebody, world: World) -> set[uuid.UUID]:
    """The companies whose rows this request may have changed."""
    may_write = request.method in ("POST", "DELETE") and answer.status < 400 and caller.company is not None
    if not may_write or answer.header("Idempotent-Replayed") or b'"dry_run":true' in answer.body:
        return set()
    return {world.companies[caller.company]} if caller.company else set(world.companies.values())
