"""Who may open what at the desk: every page of the admin x role x whose row, by GET and, where it writes, by POST.

A page of the URL configuration that has no entry in `PAGES` fails here. To enter one: its route, as the failing test
prints it, with what it takes (a word of `MAY`, as its `@at(…, requires)` says; "nobody"; or "anyone", if
not even a login is asked for), the status that who may gets, and, if it writes, the form to send and the status of the
answer. A route of a model with a guid in it, or with `?guid=`, is asked for with a row of the own company, and with one
of another, which must not be there (404). `{row}` in a form is that row's guid. All links of each page are looked at as
well: they may lead only to what its reader may open.
"""

import html
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from urllib.parse import urljoin

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Deletion, Operation
from pieces.tests.factories import ComponentFactory, PieceFactory
from ractory.api.tests.client import Api
from sync.models import Upload
from sync.tests.batches import Sync, piece_item
from tenants.caller import Role
from tenants.models import ApiKey, Company
from tenants.scope import every_company
from tenants.tests.factories import UserFactory, issue_key
from tenants.tests.staff import session_of

# By hand, not derived from tenants.caller, which this tests. An integration only looks, here.
MAY: dict[str, set[str]] = {
    "SystemAdmin": {"look", "delete", "sync", "manage", "manage companies"},
    "CompanyAdmin": {"look", "delete", "sync", "manage"},
    "Integration": {"look"},
    "ProjectManager": {"look", "delete"},
    "Operator": {"look"},
}
FOREIGN = "Foreign & Sons"  # in whatever the other company has
LINK = re.compile(r'(?:href|action)="([^"?#]+)')


@dataclass(frozen=True)
class Page:
    needs: str  # "anyone": the same answer for all; "nobody": 403 also for those who may see the row
    get: int = 200
    form: dict[str, str] | None = None  # None: the page writes nothing
    post: int = 302
    sees: str = "look"  # what seeing the row takes, if "nobody" may do this with it
    values: dict[str, str] = field(default_factory=dict)  # for the route's parameters, but the guid

    @property
    def is_open(self) -> bool:
        return self.needs == "anyone"


def of_model(sees: str, add: Page, change: Page) -> dict[str, Page]:
    """Django's own pages of a model. The row's address alone leads to its page, where one is refused or not."""
    row = "<path:object_id>/"
    pages = {"": Page(sees), "add/": add, f"{row}delete/": Page("nobody", form={"post": "yes"}, sees=sees)}
    return pages | {f"{row}change/": change, f"{row}history/": Page(sees), row: Page("anyone", 302)}


def entity(kind: str) -> dict[str, Page]:
    picture = Page("look", 200 if kind == "piece" else 404)
    pages = of_model("look", Page("nobody", form={}), Page("look")) | {
        # Nothing of an assembly must be filled in: what was emptied already is no change.
        "<uuid:guid>/edit/": Page("sync", form={"seen": "x"}, post=302 if kind == "assembly" else 200),
        "remove/?guid=": Page("delete", form={"guid": "{row}"}),
        "<uuid:guid>/picture/": picture,
        "export/<slug:columns>.<slug:kind>": EXPORT,
    }
    return {f"pieces/{kind}/{route}": page for route, page in pages.items()}


EXPORT = Page("look", values={"columns": "all", "kind": "csv"})
CLOSED = Page("anyone", 404)
MANAGED = Page("manage", form={}, post=200)
PAGES: dict[str, Page] = {
    "": Page("look"),
    "login/": Page("anyone", 302),
    "logout/": Page("look", 405, form={}, post=200),
    "password_change/": Page("look", form={}, post=200),
    "password_change/done/": Page("look"),
    "jsi18n/": Page("look"),
    # What nobody needs, and Django's own behind it.
    "^admin/(?:search/|autocomplete/|r/.*|pieces/|sync/|tenants/)$": CLOSED,
    **dict.fromkeys(("search/", "autocomplete/", "r/<path:content_type_id>/<path:object_id>/"), CLOSED),
    "^(?P<app_label>tenants|pieces|sync)/$": CLOSED,
    "(?P<url>.*)$": Page("look", 404),
    **{key: page for kind in ("project", "component", "assembly", "piece") for key, page in entity(kind).items()},
    "pieces/piece/find/": Page("look"),
    "pieces/piece/labels/<slug:kind>/?guid=": Page("look", values={"kind": "piece"}),
    **{
        f"pieces/deletion/{route}": page
        for route, page in {
            **of_model("delete", Page("nobody", form={}), Page("delete", 302)),
            "restore/?guid=": Page("delete", form={"guid": "{row}"}),
            "export/<slug:columns>.<slug:kind>": Page("delete", values=EXPORT.values),
        }.items()
    },
    **{
        f"sync/syncrun/{route}": page
        for route, page in {
            **of_model("look", Page("nobody", form={}), Page("look")),
            "<uuid:guid>/undo/": Page("sync", form={}),
            "export/<slug:columns>.<slug:kind>": EXPORT,
        }.items()
    },
    **{
        f"sync/upload/{route}": page
        for route, page in {
            **of_model("sync", Page("nobody", form={}), Page("sync")),
            "new/": Page("sync", 302, form={"entity": "pieces"}),
            "<uuid:guid>/go-on/": Page("sync", 302, form={}),
            "<uuid:guid>/decide/": Page("sync", 302, form={"decision": "import"}),
            "<uuid:guid>/refused.<slug:kind>": Page("sync", values={"kind": "csv"}),
        }.items()
    },
    **{f"tenants/user/{route}": page for route, page in of_model("manage", MANAGED, MANAGED).items()},
    "tenants/user/<id>/password/": MANAGED,
    **{f"tenants/apikey/{route}": page for route, page in of_model("manage", MANAGED, Page("manage", form={})).items()},
    "tenants/apikey/<path:object_id>/rotate/": MANAGED,
    "tenants/apikey/<path:object_id>/revoke/": Page("manage", form={}),
    **{
        f"tenants/company/{route}": page
        for route, page in {
            **of_model("manage", Page("manage companies", form={}, post=200), Page("manage", form={"name": "Windows"})),
            "pick/": Page("manage companies", 302, form={"company": ""}),
        }.items()
    },
}


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def test_every_page_has_an_entry() -> None:
    found = {route.removeprefix("admin/") for route in routes(get_resolver().url_patterns) if "admin/" in route[:7]}
    assert found == {route.removesuffix("?guid=") for route in PAGES}


@dataclass(frozen=True)
class World:
    """Someone of each role in one company, and the rows of that one and of another, by the name of their model."""

    clients: dict[str, Client]
    rows: dict[str, dict[str, uuid.UUID]]  # of "own" and "foreign"
    company: Company  # the own one


def rows_of(company: Company, name: str) -> dict[str, uuid.UUID]:
    """A row of each model, with the name in what a person reads."""
    piece = PieceFactory.create(company=company, piece_id=name, picture=b"\x89PNG\r\n\x1a\n")
    above = {"project": piece.project, "component": piece.component, "assembly": piece.assembly}
    gone = ComponentFactory.create(project=piece.project, code=name)
    answer = Sync(Api().with_key(issue_key(company, description=name)))("pieces", piece_item(piece.component))
    assert answer.status_code == 200
    with every_company():
        delete_one(type(gone), gone.guid, origin=Origin(Operation.DELETE, name), now=gone.updated_at)
        deletion = Deletion.objects.get(root_guid=gone.guid)
        key = ApiKey.objects.get(company=company)
    user = UserFactory.create(company=company, role=Role.OPERATOR, email=f"{name[:3]}@example.com", name=name)
    about = {"entity": "pieces", "name": name, "size": 1, "actor": f"user:{name}", "stage": "checked", "faulty": 1}
    upload = Upload.across_companies.create(company=company, **about)
    managed = {"user": user.guid, "apikey": key.guid, "company": company.guid}
    rows = {kind: row.guid for kind, row in above.items()} | {"piece": piece.guid, "deletion": deletion.guid}
    return rows | managed | {"syncrun": uuid.UUID(answer["X-Sync-Run"]), "upload": upload.guid}


@pytest.fixture
def world(company: Company, other_company: Company) -> World:
    other_company.name = FOREIGN
    other_company.save()
    of_role = {role: None if role == "SystemAdmin" else company for role in MAY}
    clients = {role: session_of(UserFactory.create(role=role, company=of)) for role, of in of_role.items()}
    return World(clients, {"own": rows_of(company, "Own"), "foreign": rows_of(other_company, FOREIGN)}, company)


def expected(page: Page, role: str, whose: str | None, method: str) -> int:
    """The status for a page about a row of the "own" or the "foreign" company, or about none."""
    status = page.get if method == "GET" else page.post
    if page.is_open:
        return status
    sees = page.sees if page.needs == "nobody" else page.needs
    if sees not in MAY[role]:
        return 403
    if whose == "foreign" and role != "SystemAdmin":
        return 404
    return 403 if page.needs == "nobody" else status


@pytest.mark.django_db
def test_who_may_open_what(world: World) -> None:
    """In one world, which is dear to make: each page leaves it as it was."""
    found = {}
    for route, page in PAGES.items():
        for whose in ("own", "foreign") if is_about_a_row(route) else (None,):
            path, row = address(route, page, world.rows[whose or "own"])
            form = {name: value.format(row=row) for name, value in (page.form or {}).items()}
            for role, method in product(MAY, ["GET"] if page.form is None else ["GET", "POST"]):
                answer, read = answered(world.clients[role], method, path, form)
                if answer.status_code != (wanted := expected(page, role, whose, method)):
                    found[route, role, whose, method] = (answer.status_code, "not", wanted)
                asked = (route, role, whose)
                assert role == "SystemAdmin" or FOREIGN not in read, asked
                assert world.company.name in read or "nav-sidebar" not in read, asked  # whose data these are
                assert dead_ends(path, read, role) == set(), asked
        if not page.is_open:
            assert Client().get(path)["Location"].startswith("/admin/"), route  # the login; from the logout, home
    assert found == {}


def answered(client: Client, method: str, path: str, form: dict[str, str]) -> tuple[Any, str]:
    """The answer and the text of its page; neither the database nor the browser remembers it."""
    session = client.cookies["sessionid"].value
    with rolled_back():
        answer: Any = getattr(client, method.lower())(path, form if method == "POST" else None)
        read = html.unescape(answer.getvalue().decode(errors="replace"))
    client.cookies.clear()  # of a logout, or of a message for the next page
    client.cookies["sessionid"] = session
    return answer, read


def is_about_a_row(route: str) -> bool:
    return route.startswith(("pieces/", "sync/", "tenants/")) and ("guid" in route or "id>" in route)


def address(route: str, page: Page, rows: dict[str, uuid.UUID]) -> tuple[str, uuid.UUID]:
    """The address of a page, and the guid of the row that it is about."""
    row = rows.get(route.partition("/")[2].partition("/")[0], uuid.uuid4())
    if route.startswith(("^", "(")):
        route = "pieces/" if "pieces" in route else "nothing/"
    for name, value in page.values.items():
        route = re.sub(rf"<\w+:{name}>", value, route)
    return "/admin/" + re.sub(r"<[^>]*>", str(row), route).replace("?guid=", f"?guid={row}"), row


def dead_ends(path: str, read: str, role: str) -> set[str]:
    """The links of a page to what the role may not open."""
    links = {urljoin(path, link) for link in LINK.findall(read)}
    routes = {link: resolve(link).route.removeprefix("admin/") for link in links if link.startswith("/admin/")}
    pages = {link: PAGES.get(route) or PAGES[f"{route}?guid="] for link, route in routes.items()}
    return {link for link, page in pages.items() if page.needs not in {"anyone", *MAY[role]}}


@contextmanager
def rolled_back() -> Iterator[None]:
    """What is done in this is forgotten after it: the next request finds the same world."""
    atomic: Any = transaction.atomic()
    atomic._from_testcase = True  # as of Django's TestCase: a durable block may stand in it
    with atomic:
        yield
        transaction.set_rollback(True)
