"""The fuzzer's requests: who calls what, with which headers and what body."""

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import orjson

from bench.fuzzing.bodies import Bodies
from bench.fuzzing.pages import Pages
from bench.fuzzing.queries import Queries
from bench.fuzzing.surface import Operation, Surface
from bench.fuzzing.wire import Answer, Request
from bench.fuzzing.words import mutated, odd_text, odd_token, packed
from bench.fuzzing.world import FRESH, NAMES, Somebody, World

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "PROPFIND", "X")
CONTENT_TYPES = (
    *("application/json; charset=utf-8", "application/json;charset=latin-1"),
    *("application/JSON", "text/plain", "text/json"),
    *("application/json; charset=", "application/json;", ";"),
    *("", "application/x-www-form-urlencoded", "application/json, x"),
    *("application/json; charset=base64", "application/json; charset=undefined", "application/json; charset=idna"),
    *("application/json; charset*=nope'x'%ff", "application/json; a*0=x; a*1=y", f"application/json; a*{'9' * 4400}=x"),
    *("multipart/form-data; boundary=x", "multipart/form-data", "application/json; boundary=\xff", "a" * 3000),
)  # fmt: skip
CODINGS = ("gzip", "x-gzip", "GZIP", "identity", "", "deflate", "br", "gzip, gzip", "gzip;q=1", "zstd", "chunked")
PREFERENCES = (
    *("return=representation", "return=minimal"),
    *("handling=strict", "handling=lenient", "handling=strict, return=representation"),
    *('return="representation"', "return = representation ; x=y", "respond-async"),
    *("=", ",,,", "return", "return=representation=" * 99),
)  # fmt: skip
LENGTHS = (
    "0",
    "-1",
    "1",
    "+5",
    "1e3",
    "abc",
    "",
    " ",
    "9" * 30,
    "1" * 5000,
    "99999999",
    "33554433",
    "5, 5",
    "0x10",
    "²",
)
AUTHORIZATIONS = (
    "",
    "Bearer",
    "Bearer ",
    "ApiKey ",
    "ApiKey rfk_x",
    "Basic eDp5",
    "Bearer a.b.c",
    "Bearer " + "x" * 4000,
)
HOSTS = (
    "localhost",
    "127.0.0.1:99999",
    "evil.example",
    "",
    "localhost:abc",
    "[::1]",
    "a b",
    "..",
    "localhost\xff",
    "a" * 300,
)
IDS = ("my-id-1", "a" * 128, "a" * 129, "a b", "\xff", "", "<x>", "0199d5a0-2b6c-7c1e-8a3f-5d1f2e3a4b5c")
SENSELESS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Range"),
    *("If-None-Match", "If-Modified-Since", "Origin", "Referer"),
    *("X-HTTP-Method-Override", "X-Forwarded-For", "X-Forwarded-Proto"),
    *("X-Forwarded-Host", "Forwarded", "Cookie", "Expect"),
    *("Upgrade", "Connection", "Transfer-Encoding", "TE"),
    *("User-Agent", "X-Requested-With", "X-CSRFToken", "Content-Length"),
)  # fmt: skip
SENSES = (
    "application/xml",
    "text/html",
    "*/*;q=",
    "application/json; charset*=nope'x'%ff",
    "text/html; charset=base64",
    "bytes=0-1",
    "DELETE",
    "PUT",
    "https",
    "100-continue",
    "127.0.0.1",
    "chunked",
)


class Requests:
    """Endless requests to one world; the same for the same `rng` and the same answers."""

    def __init__(self, world: World, surface: Surface, rng: random.Random) -> None:
        self.world, self.rng, self.surface = world, rng, surface
        self.bodies, self.queries, self.pages = Bodies(world, rng), Queries(world, rng), Pages(world, rng)
        self.runs = [world.guids["A"]["pieces"][0]]
        self.kinds: tuple[tuple[float, Callable[[], Request]], ...] = (
            (64, self._sync),
            (12, lambda: self._call("list")),
            (7, lambda: self._call("get")),
            (1.5, lambda: self._call("delete")),
            (3, lambda: self._call("restore")),
            (3, lambda: self._call("receipts")),
            (2, lambda: self._call("other")),
            (4, self._manage),
            (1.5, self._login),
            (1, self._refresh),
            (3.5, self._anything),
            (2, self.pages.read),
            (0.4, self.pages.write),
            (0.4, self.pages.login),
        )
        self.weights = [weight for weight, _ in self.kinds]

    def next(self) -> Request:
        [(_, make)] = self.rng.choices(self.kinds, self.weights)
        return make()

    def learn(self, request: Request, answer: Answer) -> None:
        """Remembers cursors and receipts, to ask for them."""
        if run := answer.header("X-Sync-Run"):
            self.runs = [*self.runs[-20:], run]
        if link := answer.header("Link"):
            cursor = parse_qs(urlsplit(link.partition(">")[0]).query).get("cursor")
            if cursor:
                self.queries.cursors[self.world.callers[request.caller].company or ""].append(cursor[0])

    def _caller(self, *, writes: bool = False) -> Somebody:
        """Mostly one who may."""
        callers = [caller for caller in self.world.callers.values() if caller.header != "Cookie"]
        if self.rng.random() < 0.9:
            callers = [caller for caller in callers if caller.company is not None and caller.writes >= writes]
        return self.rng.choices(callers, [3 if caller.header != "Bearer" else 1 for caller in callers])[0]

    def _request(self, method: str, path: str, caller: Somebody, **given: Any) -> Request:
        """With its credentials, and in one case of three with odd headers or an odd way to the server."""
        rng = self.rng
        headers = [*given.pop("headers", ()), *credentials(caller)]
        if rng.random() < 0.3:
            headers += self._odd_headers()
        if rng.random() < 0.03:
            method = rng.choice(METHODS)
        if rng.random() < 0.03:
            path = self._odd_path(path)
        elif rng.random() < 0.1:
            path += "/"
        request = Request(method=method, path=path, headers=tuple(headers), caller=caller.name, **given)
        return self._odd_framing(request) if request.body and rng.random() < 0.05 else request

    def _odd_framing(self, request: Request) -> Request:
        kind = self.rng.randrange(3)
        if kind == 0:
            return request.with_(chunked=True)
        if kind == 1:
            return request.with_(breaks_off=self.rng.randrange(len(request.body)))
        length = self.rng.choice((str(self.rng.randrange(2 * len(request.body))), self.rng.choice(LENGTHS)))
        return request.with_(headers=(*request.headers, ("Content-Length", length)))

    def _odd_headers(self) -> list[tuple[str, str]]:
        rng = self.rng
        name, values = rng.choice(
            (
                ("X-Request-ID", IDS),
                ("Host", HOSTS),
                ("Authorization", AUTHORIZATIONS),
                ("X-API-Key", ("", "rfk_", "rfk_" + "0" * 38, "\xff", "x" * 4000)),
                (rng.choice(SENSELESS), SENSES),
                (rng.choice(SENSELESS), ()),
            )
        )  # fmt: skip
        value = rng.choice(values) if values and rng.random() < 0.8 else odd_text(rng)
        return [(name, header_safe(value))]

    def _odd_path(self, path: str) -> str:
        rng = self.rng
        at = rng.randrange(1, len(path) + 1)
        what = rng.choice(
            (
                "/",
                "//",
                "/../",
                "/./",
                "%2f",
                "%2e%2e%2f",
                "%00",
                "%",
                "%zz",
                "%ff",
                "%0a",
                ";x",
                "\\",
                ".json",
                "e%CC%81",
                "😀",
            )
        )
        odd = rng.choice(
            (path[:at] + what + path[at:], path[:at], path.upper(), path + what, quote(odd_text(rng), errors="replace"))
        )
        return (
            "/" + odd.lstrip("/").encode().decode("latin-1") if rng.random() < 0.9 else odd.encode().decode("latin-1")
        )

    def _sync(self) -> Request:
        rng, caller = self.rng, self._caller(writes=True)
        level = rng.choice(("projects", "components", "assemblies", "pieces", "pieces", "pieces"))
        company = caller.company if caller.company is not None else ""
        raw = self.bodies.batch(level, company)
        headers = [
            ("Content-Type", "application/json" if rng.random() < 0.97 else header_safe(rng.choice(CONTENT_TYPES)))
        ]
        if rng.random() < 0.07:
            raw = packed(rng, raw, self.bodies.seen[company])
            headers.append(("Content-Encoding", "gzip" if rng.random() < 0.9 else rng.choice(CODINGS)))
        elif rng.random() < 0.01:
            headers.append(("Content-Encoding", rng.choice(CODINGS)))
        if rng.random() < 0.25:
            headers.append(("Prefer", rng.choice(PREFERENCES)))
        if rng.random() < 0.08:
            key = f"key-{rng.randrange(30)}" if rng.random() < 0.8 else header_safe(odd_text(rng))
            headers.append(("Idempotency-Key", key))
        operation = self.surface.named(f"sync_{level}")
        query = self.queries.query(operation.parameters, company) if rng.random() < 0.2 else ""
        return self._request("POST", operation.template, caller, headers=headers, body=raw, query=query)

    def _call(self, kind: str) -> Request:
        """Any other operation of the document, without a body, but for one in fifty."""
        rng, caller = self.rng, self._caller()
        operation = rng.choice(self.surface.by_kind[kind])
        company = caller.company or ""
        path = operation.template.replace("{guid}", quote(self._guid(operation, company), safe=""))
        query = self.queries.query(operation.parameters, company) if kind == "list" or rng.random() < 0.3 else ""
        body = odd_token(rng) if rng.random() < 0.02 else b""
        return self._request(operation.method, path, caller, query=query, body=body)

    def _manage(self) -> Request:
        """Companies, users and keys, mostly by those who may: new ones, and those that are there to be changed."""
        rng = self.rng
        name = rng.choice(("admin", *(f"{company} CompanyAdmin" for company in NAMES)))
        caller = self.world.callers[name] if rng.random() < 0.9 else self._caller()
        operation, company = rng.choice(self.surface.by_kind["managed"]), caller.company or rng.choice(NAMES)
        named = company if rng.random() < 0.9 else rng.choice(NAMES)
        guid = self.world.managed[named][operation.template.split("/")[3]]
        path = operation.template.replace(
            "{guid}", guid if rng.random() < 0.95 else quote(odd_text(rng), safe="", errors="replace")
        )
        query = self.queries.query(operation.parameters, company) if rng.random() < 0.3 else ""
        if operation.method in ("GET", "DELETE"):
            return self._request(operation.method, path, caller, query=query)
        right = {
            **{"name": f"new {rng.randrange(99)}", "surname": None, "short_name": "S", "is_active": rng.random() < 0.9},
            **{"email": f"{company}-{rng.randrange(99)}@example.com", "password": "a horse in the battery"},
            **{"role": rng.choice(("Operator", "CompanyAdmin", "SystemAdmin")), "overlap_hours": rng.randrange(9)},
            **{"description": "new", "scopes": rng.choice(("sync:read", "sync:read,sync:write", "admin"))},
            **{"networks": "10.0.0.0/8", "expires_at": rng.choice((None, "2099-01-01", "2001-01-01T00:00:00Z"))},
            "company_guid": str(self.world.companies[company if rng.random() < 0.9 else rng.choice(NAMES)]),
        }
        some = right if operation.method == "POST" else dict(rng.sample(sorted(right.items()), 3))
        values = [
            (orjson.dumps(key), odd_token(rng) if rng.random() < 0.05 else orjson.dumps(value))
            for key, value in some.items()
        ]
        raw = b"{" + b",".join(b":".join(pair) for pair in values) + b"}"
        raw = mutated(rng, raw, [b'{"name":"x"}']) if rng.random() < 0.1 else raw
        headers = [
            ("Content-Type", "application/json" if rng.random() < 0.97 else header_safe(rng.choice(CONTENT_TYPES)))
        ]
        return self._request(operation.method, path, caller, query=query, body=raw, headers=headers)

    def _guid(self, operation: Operation, company: str) -> str:
        rng = self.rng
        if "{guid}" not in operation.template or rng.random() < 0.1:
            return odd_text(rng).encode("utf-8", "replace").decode("latin-1")
        if "/sync/" in operation.template:
            return rng.choice(self.runs)
        level = operation.template.split("/")[3]
        named = company if company and rng.random() < 0.9 else rng.choice(NAMES)
        return rng.choice(self.world.guids[named][level])

    def _login(self) -> Request:
        name = self.rng.choice(("a-login", "b-login", "inactive", "nobody"))
        password = "{{password}}" if self.rng.random() < 0.5 else odd_text(self.rng)
        return self._credentials("login", {"email": f"{name}@example.com", "password": password})

    def _refresh(self) -> Request:
        name = self.rng.choice(("a-login", "b-login"))
        token = self.rng.choice(
            (f"{{{{{FRESH}{name}}}}}", f"{{{{{name[0].upper()} Operator}}}}", "a.b.c", odd_text(self.rng))
        )
        return self._credentials("refresh", {"refresh_token": token})

    def _credentials(self, name: str, given: dict[str, str]) -> Request:
        rng = self.rng
        fields = [(orjson.dumps(key), _json(value)) for key, value in given.items()]
        if rng.random() < 0.4:
            at = rng.randrange(len(fields))
            fields[at] = (fields[at][0], odd_token(rng))
        raw = b"{" + b",".join(b":".join(pair) for pair in fields) + b"}"
        if rng.random() < 0.3:
            raw = mutated(rng, raw, [b'{"email":"a@b.c","password":"x"}'])
        headers = [
            ("Content-Type", "application/json" if rng.random() < 0.95 else header_safe(rng.choice(CONTENT_TYPES)))
        ]
        if rng.random() < 0.05:
            raw = packed(rng, raw, [])
            headers.append(("Content-Encoding", "gzip"))
        return self._request("POST", f"/api/v1/auth/{name}", self.world.callers["nobody"], headers=headers, body=raw)

    def _anything(self) -> Request:
        """Paths that are not of the API's document, and its paths with any method."""
        rng, caller = self.rng, self._caller()
        others = (
            "/",
            "/metrics",
            "/health",
            "/api",
            "/api/",
            "/api/v1",
            "/api/v2/pieces",
            "/admin",
            "/static/x",
            "/static/tenants/staff.css",
            "/favicon.ico",
        )
        path = rng.choice(others) if rng.random() < 0.5 else rng.choice(self.surface.operations).template
        path = path.replace("{guid}", rng.choice(self.world.guids["A"]["pieces"]))
        body = odd_token(rng) if rng.random() < 0.3 else b""
        query = urlencode({odd_text(rng): odd_text(rng)}, errors="replace") if rng.random() < 0.2 else ""
        headers = [("Content-Type", rng.choice(("application/json", "text/plain")))] if body else []
        return self._request(rng.choice(METHODS), path, caller, query=query, body=body, headers=headers)


def credentials(caller: Somebody) -> list[tuple[str, str]]:
    secret = f"{{{{{caller.name}}}}}"
    if caller.header == "X-API-Key":
        return [("X-API-Key", secret)]
    if caller.header == "Cookie":
        return [("Cookie", f"sessionid={secret}")]
    return [("Authorization", f"{caller.header} {secret}")] if caller.header else []


def header_safe(text: str) -> str:
    """As the bytes of a header: without what no HTTP server lets through."""
    raw = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return "".join(char for char in raw if char == "\t" or (ord(char) >= 32 and char != "\x7f")).strip(" \t")


def _json(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:  # a lone surrogate
        return b'"' + text.encode("utf-8", "surrogatepass") + b'"'
