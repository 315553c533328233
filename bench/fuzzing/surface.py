"""What the server says of itself: each operation of its OpenAPI document, and the statuses that it may answer."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from django.urls import URLPattern, URLResolver, get_resolver

from ractory.api.meta import document

# What a known path may answer to a method that it has not.
OTHER_METHOD = frozenset({401, 403, 405})


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    method: str
    template: str
    statuses: frozenset[int]
    parameters: list[Any]

    @property
    def kind(self) -> str:
        if self.template.startswith(("/api/v1/companies", "/api/v1/users", "/api/v1/api-keys")):
            return "managed"
        for word in ("list", "get", "delete", "restore", "sync"):
            if self.id.startswith(word) and "run" not in self.id:
                return word
        return "receipts" if "run" in self.id else "credentials" if self.method == "POST" else "other"


class Surface:
    """The operations of the document."""

    def __init__(self) -> None:
        paths = json.loads(document())["paths"]
        self.operations = [
            Operation(
                id=described["operationId"],
                method=method.upper(),
                template=template,
                statuses=frozenset(map(int, described["responses"])),
                parameters=[part for part in described.get("parameters", []) if part["in"] == "query"],
            )
            for template, methods in paths.items()
            for method, described in methods.items()
        ]
        self.by_kind: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            self.by_kind[operation.kind].append(operation)
        self._by_template: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            self._by_template[operation.template].append(operation)
        self._patterns = [
            (re.compile(re.sub(r"\\\{guid\\\}", "[^/]+", re.escape(template))), template)
            for template in self._by_template
        ]

    def named(self, name: str) -> Operation:
        return next(operation for operation in self.operations if operation.id == name)

    def at(self, path: str) -> list[Operation]:
        """The operations of a path as it was sent; none if it is not one of the API's."""
        plain = unquote_to_bytes(path.encode("latin-1", "replace")).decode("latin-1")
        if plain.startswith(("/api/", "/health/")):
            plain = plain.rstrip("/")
        return next((self._by_template[name] for pattern, name in self._patterns if pattern.fullmatch(plain)), [])


def pages() -> list[str]:
    """The paths of the staff's pages, `{guid}` in place of what is looked up."""
    routes = [re.sub(r"<[^<>]+>", "{guid}", route) for route in _routes(get_resolver())]
    return sorted({f"/{route}" for route in routes if route.startswith("admin/") and "(" not in route})


def _routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from _routes(entry, route)
