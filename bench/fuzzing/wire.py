"""One request of the fuzzer and its way through the WSGI application: as from gunicorn, without a socket."""

import io
import json
import logging
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self
from urllib.parse import unquote_to_bytes

from ractory.api.body import Handler
from tenants.scope import setting, within

SECRET = re.compile(r"\{\{([^{}]+)\}\}")  # stands for a credential of the present world


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request before its secrets are filled in, so that it can be sent again in another world."""

    method: str
    path: str  # percent-encoded, as on the request line
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunked: bool = False  # else with a Content-Length: that of `headers`, or the right one
    breaks_off: int | None = None  # the client is gone after so many bytes of the body
    caller: str  # by name in the world: whose credentials the headers carry

    def header(self, name: str) -> str:
        return ",".join(value for given, value in self.headers if given.lower() == name.lower())

    def with_(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"body": b64encode(self.body).decode()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        headers = tuple((name, value) for name, value in data["headers"])
        return cls(**{**data, "headers": headers, "body": b64decode(data["body"])})

    def __str__(self) -> str:
        lines = [f"{self.method} {self.path}{'?' * bool(self.query)}{self.query}"[:2000]]
        lines += [f"{name}: {value}"[:500] for name, value in self.headers]
        return "\n".join([*lines, "", f"{self.body[:2000]!r} ({len(self.body)} bytes)"])


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    log: list[str] = field(default_factory=list)  # what the server logged as an error meanwhile, with tracebacks
    leaves_scope: bool = False  # a tenant's rows could be seen after the request

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)

    def json(self) -> Any:
        """None if the body is no JSON (which no answer says that is right)."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class _Breaking(io.BytesIO):
    """A body that breaks off with the error that a closed connection has."""

    def __init__(self, body: bytes, after: int) -> None:
        super().__init__(body[:after])

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if not found:
            raise ConnectionResetError("the client is gone")
        return found


class _Errors(logging.Handler):
    """Keeps what is logged at ERROR and above while a request is served."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self.formatter = logging.Formatter("%(name)s: %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("django.security"):  # refusals that Django itself notes
            self.lines.append(self.format(record))


class Application:
    """The server, called in this process."""

    def __init__(self, fill: Callable[[str], str]) -> None:
        self.handler = Handler()
        self.fill = fill
        self.errors = _Errors()

    def send(self, request: Request) -> Answer:
        """The server's answer; an exception that comes out of the application is one with status 599."""
        log: list[str] = []
        self.errors.lines = log
        logging.getLogger().addHandler(self.errors)
        try:
            with within(None):
                return self._send(request, log)
        finally:
            logging.getLogger().removeHandler(self.errors)

    def _send(self, request: Request, log: list[str]) -> Answer:
        started: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[..., None]:
            started.append((int(status.split()[0]), headers))
            return lambda data: None

        try:
            parts: Iterable[bytes] = self.handler(self._environ(request), start_response)
            try:
                body = b"".join(parts)
            finally:
                getattr(parts, "close", lambda: None)()
        except Exception as error:
            logging.getLogger("bench.fuzzing").error("out of the application", exc_info=error)
            return Answer(599, [], b"", log)
        return Answer(*started[0], body, log, bool(setting()))

    def _environ(self, request: Request) -> dict[str, Any]:
        body = SECRET.sub(lambda found: self.fill(found[1]), request.body.decode("latin-1")).encode("latin-1")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path.encode("latin-1", "replace")).decode("latin-1"),
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost:8000",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body) if request.breaks_off is None else _Breaking(body, request.breaks_off),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if request.chunked:
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        elif body:
            environ["CONTENT_LENGTH"] = str(len(body))
        return environ | self._headers(request)

    def _headers(self, request: Request) -> dict[str, str]:
        """As CGI variables: repeated ones joined, those with an underscore dropped, as gunicorn does."""
        found: dict[str, str] = {}
        for name, value in request.headers:
            if "_" in name or (request.chunked and name.lower() == "content-length"):
                continue
            variable = name.upper().replace("-", "_")
            if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                variable = f"HTTP_{variable}"
            filled = SECRET.sub(lambda secret: self.fill(secret[1]), value).strip(" \t")
            found[variable] = f"{found[variable]},{filled}" if variable in found else filled
        return found
