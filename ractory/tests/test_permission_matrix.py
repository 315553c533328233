"""Who may do what: every endpoint of the URL configuration x method x caller x whose row (contract, the table).

An endpoint or a method without a row in `ENDPOINTS` fails. The admin is not an API: test_staff_matrix.py has its pages.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import LEVELS, Component, Entity, Operation, Piece, Project
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from ractory.api.rendering import to_json
from ractory.api.tests.client import Api
from sync.models import SyncRun
from sync.snapshots import open_snapshot
from tenants.authentication import begin
from tenants.models import ApiKey, Company
from tenants.scope import every_company
from tenants.tests.factories import PASSWORD, CompanyFactory, UserFactory, issue_key

NOT_THE_API = ("admin/", "^admin/", "metrics", "api/<path:rest>")
NOBODY, SYSTEM_ADMIN = "nobody", "SystemAdmin"

# The contract's table, by hand: not derived from tenants.caller, which it tests.
MAY: dict[str, set[str]] = {
    NOBODY: set(),
    SYSTEM_ADMIN: {"call", "read", "delete", "sync", "manage", "manage companies"},
    "CompanyAdmin": {"call", "read", "delete", "sync", "manage"},
    "Integration": {"call", "read", "delete", "sync"},
    "ProjectManager": {"call", "read", "delete"},
    "Operator": {"call", "read"},
    "sync:write": {"call", "read", "delete", "sync"},
    "sync:read": {"call", "read"},
    "sync:read sync:write": {"call", "read", "delete", "sync"},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")


@dataclass(frozen=True)
class Endpoint:
    """What each method of a path needs (None: nothing) and answers; `otherwise`, what comes before a 405."""

    methods: dict[str, tuple[str | None, int]]
    otherwise: str | None = None


OPEN = Endpoint({"GET": (None, 200)})
LOGIN = Endpoint({"POST": (None, 200)})
LIST = Endpoint({"GET": ("read", 200)}, "read")
ONE = Endpoint({"GET": ("read", 200), "DELETE": ("delete", 204)}, "read")
RESTORE = Endpoint({"POST": ("delete", 204)}, "read")
SYNC = Endpoint({"POST": ("sync", 200)}, "sync")
SHOWN = Endpoint({"GET": ("read", 200)}, "read")
CHANGES = {"PUT": ("manage", 200), "PATCH": ("manage", 200)}
MANAGED_LIST = Endpoint({"GET": ("manage", 200), "POST": ("manage", 201)}, "manage")
COMPANIES = "manage companies"

ENDPOINTS: dict[str, Endpoint] = {
    "health": OPEN,
    "api/schema": OPEN,
    "api/docs": OPEN,
    "api/v1/health": OPEN,
    "api/v1/auth/login": LOGIN,
    "api/v1/auth/refresh": LOGIN,
    "api/v1/auth/me": Endpoint({"GET": ("call", 200)}, "call"),
    "api/v1/changes": LIST,
    "api/v1/sync/runs": LIST,
    "api/v1/sync/runs/<str:guid>": SHOWN,
    "api/v1/sync/runs/<str:guid>/changes": SHOWN,
    "api/v1/sync/runs/<str:guid>/undo": SYNC,
    "api/v1/sync/snapshots": Endpoint({"POST": ("sync", 201)}, "sync"),
    "api/v1/sync/snapshots/<str:guid>": Endpoint({"GET": ("sync", 200), "DELETE": ("sync", 204)}, "sync"),
    "api/v1/sync/snapshots/<str:guid>/complete": SYNC,
    "api/v1/companies": Endpoint({"GET": ("manage", 200), "POST": (COMPANIES, 201)}, COMPANIES),
    "api/v1/companies/<str:guid>": Endpoint(
        {"GET": ("manage", 200), "PUT": (COMPANIES, 200), "PATCH": (COMPANIES, 200), "DELETE": (COMPANIES, 204)},
        COMPANIES,
    ),
    "api/v1/users": MANAGED_LIST,
    "api/v1/users/<str:guid>": Endpoint({"GET": ("manage", 200), **CHANGES, "DELETE": ("manage", 200)}, "manage"),
    "api/v1/api-keys": MANAGED_LIST,
    "api/v1/api-keys/<str:guid>": Endpoint({"GET": ("manage", 200), **CHANGES, "DELETE": ("manage", 204)}, "manage"),
    "api/v1/api-keys/<str:guid>/rotate": Endpoint({"POST": ("manage", 201)}, "manage"),
    **{f"api/v1/sync/{plural}": SYNC for plural in ("projects", "components", "assemblies", "pieces")},
    **{f"api/v1/{plural}": LIST for plural in ("projects", "components", "assemblies", "pieces")},
    **{f"api/v1/{plural}/<str:guid>": ONE for plural in ("projects", "components", "assemblies", "pieces")},
    **{f"api/v1/{plural}/<str:guid>/history": SHOWN for plural in ("projects", "components", "assemblies", "pieces")},
    **{f"api/v1/{plural}/<str:guid>/restore": RESTORE for plural in ("projects", "components", "assemblies", "pieces")},
}
LISTS = [
    route
    for route, endpoint in ENDPOINTS.items()
    if "<" not in route and endpoint.methods.get("GET", (None, 0))[0] in ("read", "manage")
]
OPERATIONS = [(route, method) for route, endpoint in ENDPOINTS.items() for method in endpoint.methods]


def routes(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every path of the URL configuration with its view, but those that are not the API."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if route.startswith(NOT_THE_API):
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


VIEWS = dict(routes(get_resolver().url_patterns))


def test_every_endpoint_has_a_row() -> None:
    assert set(VIEWS) == set(ENDPOINTS)


def test_every_method_has_a_row() -> None:
    for route, view in VIEWS.items():
        handlers = getattr(view, "actions", None) or {name for name in METHODS if hasattr(view.cls, name.lower())}
        assert {name.upper() for name in handlers} - {"HEAD"} == set(ENDPOINTS[route].methods), route


# --- The world ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """Two companies, what each has, and someone of the first who calls."""

    api: Api
    own: Company
    foreign: Company
    parents: dict[uuid.UUID, Piece] = field(default_factory=dict)

    def piece_of(self, company: Company) -> Piece:
        """A piece, whose parents the company's other rows are given."""
        if company.guid not in self.parents:
            self.parents[company.guid] = PieceFactory.create(company=company)
        return self.parents[company.guid]

    def path(self, route: str, method: str, company: Company) -> str:
        """The route's path; with a guid in it, to a new row of the company's that the method can act on."""
        if "<str:guid>" not in route:
            return f"/{route}"
        return "/" + route.replace("<str:guid>", str(self._new_row(route, company)))

    def _new_row(self, route: str, company: Company) -> uuid.UUID:
        plural = route.split("/")[2]
        if plural == "sync" and "snapshots" in route:
            with every_company():
                return open_snapshot(Piece, {}, company=company.guid, max_deleted="", actor="test").guid
        if plural == "sync":
            run = {"entity": "pieces", "status": "succeeded", "http_status": 200, "company": company}
            return uuid.UUID(str(SyncRun.across_companies.create(**run).guid))
        if plural == "companies":
            return company.guid
        if plural == "users":
            return uuid.UUID(str(UserFactory.create(company=company, role="Operator").guid))
        if plural == "api-keys":
            return ApiKey.issue(company=company, scopes=["sync:read"])[0].guid
        model = next(level for level in LEVELS if level.plural == plural)
        made = make(model, self.piece_of(company))
        if route.endswith("/restore"):
            with every_company():
                delete_one(model, made.guid, origin=Origin(Operation.DELETE, "test"), now=timezone.now())
        return made.guid

    def body(self, route: str, company: Company) -> Any:
        """What the route's method needs: credentials, a new row of the company's, or a batch with one."""
        name = route.rpartition("/")[2]
        if "<" in route or name == "companies":
            return {"name": str(uuid.uuid4())} if name == "companies" else {}
        if name in ("users", "api-keys"):
            user = {"email": f"{uuid.uuid4()}@example.com", "password": "a horse in the battery", "role": "Operator"}
            return {**user, "company_guid": company.guid, "scopes": "sync:read", "description": ""}
        if name == "login":
            return {"email": UserFactory.create(company=company).email, "password": PASSWORD}
        if name == "refresh":
            return {"refresh_token": begin(UserFactory.create(company=company))["refresh_token"]}
        if name == "snapshots":
            return {"entity": "pieces", "company_guid": company.guid}
        above = self.piece_of(company)
        parents = {"project_guid": above.project_guid, "component_guid": above.component_guid}
        return {name: [{"code": "new", "piece_id": str(uuid.uuid4()), "company_guid": company.guid, **parents}]}


def make(model: type[Entity], above: Piece) -> Entity:
    if model is Project:
        return ProjectFactory.create(company=above.company)
    if model is Component:
        return ComponentFactory.create(project=above.project)
    if model is Piece:
        return PieceFactory.create(assembly=above.assembly)
    return AssemblyFactory.create(component=above.component)


@pytest.fixture(params=MAY)
def caller(request: pytest.FixtureRequest) -> str:
    who: str = request.param
    return who


@pytest.fixture
def world(api: Api, caller: str, company: Company) -> World:
    if ":" in caller:
        api.with_key(issue_key(company, *caller.split()))
    elif caller != NOBODY:
        api.with_user(UserFactory.create(role=caller, company=None if caller == SYSTEM_ADMIN else company))
    made = World(api, company, CompanyFactory.create())
    for each in (made.own, made.foreign):
        made.piece_of(each)  # before the first request: what is made around a request goes with it
    return made


@contextmanager
def forgotten() -> Iterator[None]:
    """What is done in this is undone after it: the next request finds the same world, which is dear to make."""
    around: Any = transaction.atomic()
    around._from_testcase = True  # as of Django's TestCase: a request may be a whole transaction in it
    with around:
        yield
        transaction.set_rollback(True)


# --- The matrix ---------------------------------------------------------------------------------


def expected(caller: str, route: str, method: str, row: str, named: str | None) -> int:
    """The status for a row of the "own" or the "foreign" company, with `?company_guid=` naming one of them or none."""
    needed, status = ENDPOINTS[route].methods[method]
    if needed is None:
        return status
    if needed not in MAY[caller]:
        return 401 if caller == NOBODY else 403
    if needed == "call":
        return status
    if caller != SYSTEM_ADMIN and named == "foreign":
        return 403
    seen = {named} if named else {"own", "foreign"} if caller == SYSTEM_ADMIN else {"own"}
    is_list = "<" not in route
    if row in seen or (method == "GET" and is_list) or route == "api/v1/companies":
        return status
    return 403 if is_list else 404  # of a batch, 403


def test_who_may_do_what(world: World, caller: str) -> None:
    companies = {"own": world.own, "foreign": world.foreign}
    found = {}
    for (route, method), row, named in product(OPERATIONS, companies, (None, *companies)):
        with forgotten():
            query = f"?company_guid={companies[named].guid}" if named else ""
            path = world.path(route, method, companies[row]) + query
            body = world.body(route, companies[row]) if method in ("POST", "PUT", "PATCH") else None
            answer = world.api.generic(method, path, "" if body is None else to_json(body).decode(), "application/json")
            if answer.status_code != (wanted := expected(caller, route, method, row, named)):
                found[route, method, row, named] = (answer.status_code, "not", wanted, answer.content)
            check_envelope(answer)
    assert found == {}


def test_a_method_that_an_endpoint_does_not_have_is_a_405(world: World, caller: str) -> None:
    """Whatever its query is; for those who may not use the endpoint at all, the 401 and the 403 come first."""
    for route, endpoint in ENDPOINTS.items():
        barred = endpoint.otherwise is not None and endpoint.otherwise not in MAY[caller]
        with forgotten():
            path = world.path(route, "GET", world.own) + "?limit=none&include_inactive=maybe&dry_run=maybe"
            for method in set(METHODS) - set(endpoint.methods):
                answer = world.api.generic(method, path, "{}", "application/json")
                wanted = (401 if caller == NOBODY else 403) if barred else 405
                assert answer.status_code == wanted, (method, route)
                assert ("Allow" in answer.headers) or answer.status_code != 405
                check_envelope(answer)


def test_a_list_has_the_rows_of_those_companies_only(world: World, caller: str) -> None:
    for route in LISTS:
        with forgotten():
            check_list(world, caller, route)


def check_list(world: World, caller: str, route: str) -> None:
    for company in (world.own, world.foreign):
        world.path(f"{route.replace('changes', 'pieces')}/<str:guid>", "GET", company)
    both = {str(world.own.guid), str(world.foreign.guid)}
    listed = world.api.get(f"/{route}").json()
    if ENDPOINTS[route].methods["GET"][0] not in MAY[caller]:
        assert set(listed) == {"detail"}, route
        return
    assert companies_in(listed) == (both if caller == SYSTEM_ADMIN else {str(world.own.guid)}), route
    if caller == SYSTEM_ADMIN:
        listed = world.api.get(f"/{route}?company_guid={world.foreign.guid}").json()
        assert companies_in(listed) == {str(world.foreign.guid)}, route


def companies_in(listed: Any) -> set[str]:
    """Whose the rows of a list are; a SystemAdmin may be of none."""
    if isinstance(listed, dict):
        listed = listed.get("api_keys") or [change["object"] for change in listed["changes"]]
    return {row.get("company_guid", row["guid"]) for row in listed} - {None}


def check_envelope(answer: Any) -> None:
    assert "X-Request-ID" in answer.headers
    assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
    if answer.status_code >= 400:
        assert isinstance(answer.json()["detail"], str)
