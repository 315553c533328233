"""Sites as they are run: a database, gunicorns on it, a company with a key, and calls over HTTP."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any, TypeVar

from bench.faults.server import Server, manage

T = TypeVar("T")

PATIENCE = 150  # seconds for what happens by itself; a worker that hangs as it starts is ended after 30, and again


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(port: int, method: str, path: str, body: object = None, **headers: str) -> Answer:
    """One request on a connection of its own: the body as JSON, unless it is bytes; `headers` with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, sent, {"Content-Type": "application/json", **named})
        with connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read())


def sync_bytes(plural: str, key: str, body: bytes, *headers: str) -> bytes:
    """A sync as it goes over the wire, for tests that decide when which of its bytes do."""
    lines = [f"POST /api/v1/sync/{plural} HTTP/1.1", "Host: localhost", f"X-API-Key: {key}", *headers]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def until(look: Callable[[], T]) -> T:
    """Waits for something that no event tells of: what `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company of a site, and how it calls."""

    company: str
    key: str

    @classmethod
    def create(cls, environment: Mapping[str, str], name: str) -> "Tenant":
        company = json.loads(manage(environment, "create_company", name, "--json"))["guid"]
        made = manage(environment, "create_api_key", "--company", company, "--scopes", "sync:write", "--json")
        return cls(company, json.loads(made)["key"])

    def call(self, server: Server, method: str, path: str, body: object = None, **headers: str) -> Answer:
        return call(server.port, method, f"/api/v1{path}", body, X_API_Key=self.key, **headers)

    def project(self, code: str) -> dict[str, str]:
        return {"guid": str(uuid.uuid4()), "code": code, "company_guid": self.company}

    def push(self, server: Server, *projects: dict[str, str], **headers: str) -> Answer:
        answer = self.call(server, "POST", "/sync/projects", {"projects": projects}, **headers)
        assert answer.status == 200, answer.body
        return answer

    def codes(self, server: Server, **headers: str) -> set[str]:
        """Of all projects that a list shows."""
        answer = self.call(server, "GET", "/projects?limit=1000", **headers)
        assert answer.status == 200, answer.body
        return {project["code"] for project in answer.json}
