"""Requests to the staff's pages: logging in, looking for things, and forms, with a session and a CSRF token."""

import random
from urllib.parse import urlencode

from bench.fuzzing.surface import pages
from bench.fuzzing.wire import Request
from bench.fuzzing.words import mutated, odd_text
from bench.fuzzing.world import NAMES, SINGULAR, World

CSRF = "abcdefghijklmnopqrstuvwxyz012345"
LISTS = (
    *("/project/", "/component/", "/assembly/", "/piece/", "/deletion/"),
    *("/syncrun/", "/apikey/", "/user/", "/company/"),
)
DJANGOS = ("q", "o", "p", "all", "e", "_popup", "_to_field", "_facets", "_changelist_filters", "s", "page", "term")
FILTERS = (
    *("is_active__exact", "show", "extended", "app_label", "model_name", "field_name"),
    *("company__guid__exact", "project__guid__exact", "project", "component", "code__contains", "password__startswith"),
    *("company__users__password__startswith", "entity", "status", "role", "updated_at__gte", "started_at__gte"),
    *("guid__in", "is_active", "period", "since", "next", "guid", "kind", "deletion__actor__contains"),
)
# Without these the page answers before it reads anything else.
NEEDED = {
    "/admin/search/": (("s", "p"),),
    "/admin/autocomplete/": (("app_label", "tenants"), ("model_name", "company"), ("field_name", "users")),
}
FIELDS = (
    *("code", "piece_id", "barcode", "outer_length", "due_date", "in_production", "seen", "guid", "cell"),
    *("no_picture", "picture", "project_guid", "is_active"),
)
ENTITIES = ("project", "component", "assembly", "piece")


class Pages:
    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng, self.paths = world, rng, pages()

    def read(self) -> Request:
        rng = self.rng
        lists = [path for path in self.paths if path.endswith(LISTS)]
        path = rng.choice(rng.choices((lists, self.paths, [*NEEDED]), (8, 11, 1))[0])
        query = [(name, value if rng.random() < 0.9 else self._value()) for name, value in NEEDED.get(path, ())]
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            query.append((rng.choice(DJANGOS if rng.random() < 0.5 else FILTERS), self._value()))
        return self._request("GET", path, query=urlencode(query, errors="replace"))

    def write(self) -> Request:
        """Forms of the entities: changing, deleting and restoring by hand."""
        rng = self.rng
        entity = rng.choice(ENTITIES)
        path = rng.choice((f"{entity}/{{guid}}/edit/", f"{entity}/remove/", "deletion/restore/"))
        form = [(rng.choice(FIELDS), self._value()) for _ in range(rng.choice((0, 1, 2, 4)))]
        return self._form(f"/admin/pieces/{path}", [("csrfmiddlewaretoken", CSRF), *form])

    def login(self) -> Request:
        rng = self.rng
        password = "{{password}}" if rng.random() < 0.5 else odd_text(rng)
        name = rng.choice(("a-login@example.com", "staff@example.com", "x@example.com", odd_text(rng)))
        form = [("username", name), ("next", self._value())]
        if rng.random() < 0.9:
            form.append(("csrfmiddlewaretoken", CSRF))
        request = self._form("/admin/login/", form)
        return request.with_(body=request.body + b"&password=" + password.encode("utf-8", "surrogatepass"))

    def _form(self, path: str, form: list[tuple[str, str]]) -> Request:
        body = urlencode(form, errors="replace").encode()
        if self.rng.random() < 0.15:
            body = mutated(self.rng, body, [])
        request = self._request("POST", path)
        kind = "application/x-www-form-urlencoded" if self.rng.random() < 0.95 else "multipart/form-data; boundary=x"
        cookie = f"{request.header('Cookie')}; csrftoken={CSRF}".removeprefix("; ")
        others = tuple(pair for pair in request.headers if pair[0] != "Cookie")
        return request.with_(body=body, headers=(*others, ("Cookie", cookie), ("Content-Type", kind)))

    def _request(self, method: str, path: str, *, query: str = "") -> Request:
        rng = self.rng
        caller = rng.choice(("staff", "A staff", "B staff", "A staff", "B staff", "nobody"))
        headers = (("Cookie", f"sessionid={{{{{caller}}}}}"),) if caller != "nobody" else ()
        guids = self.world.guids[rng.choice(NAMES)]
        plural = next((plural for plural, name in SINGULAR.items() if f"/{name}/" in path), "pieces")
        guid = rng.choice(guids[plural]) if rng.random() < 0.9 else "_5Fx%00"
        return Request(method=method, path=path.format(guid=guid), query=query, headers=headers, caller=caller)

    def _value(self) -> str:
        """Of no company in particular: what is sent must not look like what leaks."""
        rng = self.rng
        guid = rng.choice(self.world.guids[rng.choice(NAMES)][rng.choice(list(SINGULAR))])
        known = (
            *("1", "0", "-1.2", "piece-1", "knows", "2026-05-01", guid, "all", "true", "/admin/"),
            *("", "99", "abc", "users", "company", "guid", "a " * 2500, "9" * 30),
        )
        return rng.choice(known) if rng.random() < 0.6 else odd_text(rng)
