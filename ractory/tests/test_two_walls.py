"""Either wall between tenants is enough by itself: every route is asked as one company, with one wall taken down.

What is asked for names the other company's rows in every way there is: in paths, queries, bodies and forms. No answer
may hold a text or a guid of theirs that the request did not bring along, and not one of their rows may change.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlencode

import orjson
import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone

from pieces import reading
from pieces.acts import Origin
from pieces.changes import delete_one
from pieces.models import Deletion, Operation, Piece
from pieces.tests.factories import PieceFactory
from ractory.api.rendering import to_json
from ractory.api.tests.client import Api
from sync.models import FileImport, IdempotentAnswer, SyncRun, Upload, UploadPart
from tenants.models import Company
from tenants.postgresql.policies import expose, tenant_tables
from tenants.scope import Scope, TenantManager, current_scope, every_company
from tenants.tests.factories import CompanyFactory, UserFactory, issue_key
from tenants.tests.staff import admin_of

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

TEXTS = ("operations", "barcode", "trolley", "trolley_cell", "profile_code", "piece_id")
KINDS = ("project", "component", "assembly", "piece")
MANAGED = {"users": "user", "api-keys": "apikey", "companies": "company"}
PLURALS = {"projects": "project", "components": "component", "assemblies": "assembly", "pieces": "piece"}


@dataclass(frozen=True)
class Tenant:
    """A company with a row in every table, each with texts that no other row has; guids by what they are of."""

    company: Company
    guids: dict[str, uuid.UUID]
    key: str

    @property
    def secrets(self) -> set[str]:
        """What nobody else may see."""
        guids = {str(guid) for guid in (*self.guids.values(), self.company.guid)}
        return guids | {f"{self.company.name} {what}" for what in (*TEXTS, "code", "key", "actor", "note", "file")}


def tenant(name: str) -> Tenant:
    company = CompanyFactory.create(name=name)
    texts = {field: f"{name} {field}" for field in TEXTS}
    piece = PieceFactory.create(company=company, **texts)
    above = {"project": piece.project, "component": piece.component, "assembly": piece.assembly}
    for row in (above["project"], above["component"]):
        row.code = f"{name} code"
        row.save()
    gone = PieceFactory.create(assembly=piece.assembly, **texts | {"piece_id": f"{name} gone"})
    delete_one(Piece, gone.guid, origin=Origin(Operation.DELETE, f"user:{name} actor"), now=timezone.now())
    user = UserFactory.create(company=company, email=f"{name.lower()}@example.com")
    run = SyncRun.across_companies.create(
        company=company, entity="pieces", status="rejected", http_status=422, actor=f"user:{name} actor"
    )
    IdempotentAnswer.objects.create(
        caller_guid=user.guid, key="k", company=company, fingerprint=b"", body=name.encode(), headers_json="{}"
    )
    FileImport.objects.create(company=company, entity="pieces", source=f"{name} file", digest=b"")
    told = {"name": f"{name} file", "actor": f"user:{name} actor", "stage": "checked", "total": 1, "size": 1}
    upload = Upload.objects.create(company=company, entity="pieces", **told)
    UploadPart.objects.create(company=company, upload=upload, start=0, data=orjson.dumps([[2, {"a": f"{name} note"}]]))
    key = issue_key(company, description=f"{name} key")
    said = orjson.dumps([{"changed": {"fields": [f"{name} note"], "run": str(run.guid)}}]).decode()
    kind = ContentType.objects.get_for_model(Piece)
    about = {"content_type": kind, "object_id": str(piece.guid), "object_repr": f"{name} note"}
    note = LogEntry.objects.create(user=user, action_flag=CHANGE, change_message=said, **about)
    with connection.cursor() as cursor:  # made with every company in scope: it has to be told whose it is
        cursor.execute("UPDATE django_admin_log SET company_guid = %s WHERE id = %s", [company.guid, note.pk])
    guids = {kind: row.guid for kind, row in above.items()} | {"piece": piece.guid, "gone": gone.guid}
    guids |= {"deletion": Deletion.objects.get(root_guid=gone.guid).guid, "user": user.guid, "syncrun": run.guid}
    guids["upload"] = upload.guid
    return Tenant(company, guids | {"apikey": company.api_keys.get().guid}, key)


def rows_of(one: Tenant) -> list[tuple[str, str]]:
    """Every row of the company's, in every tenant table."""
    whose = {"tenants_company": "guid", "tenants_loginsession": "user_guid"}
    by = {"guid": one.company.guid, "company_guid": one.company.guid, "user_guid": one.guids["user"]}
    columns = {table: whose.get(table, "company_guid") for table in tenant_tables()}
    parts = [f"SELECT '{table}', t::text FROM {table} AS t WHERE {column} = %s" for table, column in columns.items()]  # noqa: S608  # our own names
    with every_company(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts) + " ORDER BY 1, 2", [by[column] for column in columns.values()])
        found: list[tuple[str, str]] = cursor.fetchall()
    return found


# --- What is asked ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    method: str
    path: str
    query: str = ""
    body: Any = None
    narrows: bool = False  # the query is a filter or an option that names no row: nothing to a page that is refused

    def __str__(self) -> str:
        return f"{self.method} /{self.path}?{unquote_plus(self.query)} {self.body}"


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


PLACES = ("<str:guid>", "<uuid:guid>", "<path:object_id>", "<id>")
OTHER_PLACES = {
    "<path:rest>": "x",
    "<path:content_type_id>": "1",
    "<slug:columns>": "all",
    "<slug:kind>": "csv",
    "^(?P<app_label>tenants|pieces|sync)/$": "pieces/",
    "(?P<url>.*)$": "x",
}


def asks(own: Tenant, foreign: Tenant) -> Iterator[Ask]:
    for route in dict.fromkeys(routes(get_resolver().url_patterns)):
        for place, filled in OTHER_PLACES.items():
            route = route.replace(place, filled)
        if any(place in route for place in PLACES):
            yield from _asks_of_one(route, foreign)
        else:
            yield from _asks_of_many(route, own, foreign)


def _asks_of_one(route: str, foreign: Tenant) -> Iterator[Ask]:
    words = route.split("/")
    named = [(PLURALS | MANAGED).get(word, word) for word in words]
    kind = next((one for one in reversed(named) if one in foreign.guids), "syncrun")  # the app "pieces" comes first
    guid = foreign.company.guid if "company" in named else foreign.guids[kind]
    guids = [guid, foreign.guids["gone"]] if kind == "piece" else [guid]
    for one in guids:
        path = route
        for place in PLACES:
            path = path.replace(place, str(one))
        assert "<" not in path
        for query in ("",) if is_staffs(route) else ("", "include_inactive=true"):
            yield Ask("GET", path, query)
        if is_managed(route):
            for method in ("PUT", "PATCH", "POST"):
                for change in ({"name": "taken over", "description": "taken over"}, {"is_active": False}):
                    yield Ask(method, path, body=change)
        yield from _posts(path, foreign)
        yield Ask("DELETE", path)


def _asks_of_many(route: str, own: Tenant, foreign: Tenant) -> Iterator[Ask]:
    assert "<" not in route
    name, guids = foreign.company.name, foreign.guids
    yield Ask("GET", route)
    rows: list[dict[str, Any]] = [
        {"company_guid": foreign.company.guid},
        *({f"{kind}_guid": guids[kind]} for kind in KINDS),
        {"guid": list(guids.values())},
        {"q": name},
        {"q": guids["piece"]},
    ]
    others: list[dict[str, Any]] = [{field: f"{name} {field}"} for field in TEXTS]
    if is_staffs(route):
        others += [{"q": guid} for kind, guid in guids.items() if kind != "piece"]
        others += [{"deleted": "shown"}, {"state": "all"}, {"days": "365"}]
    else:
        others += [{"include_inactive": "true", "detail": "true", "count": "true"}, {"search": name}, {"code": name}]
    yield from (Ask("GET", route, urlencode(query, doseq=True)) for query in rows)
    yield from (Ask("GET", route, urlencode(query, doseq=True), narrows=True) for query in others)
    if route.startswith("api/v1/sync/"):
        yield from (Ask("POST", route, query, body) for query, body in _batches(route, own, foreign))
    if is_managed(route):
        user = {"email": "new@example.com", "password": "s3cret-enough-for-all", "role": "Operator"}
        for company in (own.company.guid, foreign.company.guid):
            body = {**user, "name": "new", "description": "new", "scopes": "sync:read", "company_guid": str(company)}
            yield Ask("POST", route, body=body)
            yield Ask("POST", route, f"company_guid={foreign.company.guid}", body)
    yield from _posts(route, foreign)


def is_staffs(route: str) -> bool:
    """Whose parameters are others than those of the API."""
    return route.startswith("admin/")


def is_managed(route: str) -> bool:
    return route.startswith(tuple(f"api/v1/{plural}" for plural in MANAGED))


def _batches(route: str, own: Tenant, foreign: Tenant) -> Iterator[tuple[str, Any]]:
    """Of one item, that names something of theirs: the company, the row, the parents, or all of it."""
    plural = route.rpartition("/")[2]
    kind = PLURALS.get(plural, "piece")
    for company in (own.company.guid, foreign.company.guid):
        for parents in (own.guids, foreign.guids):
            for guid in (None, foreign.guids[kind], foreign.guids["gone"]):
                item = {"company_guid": company, "guid": guid, "code": "taken over", "piece_id": "taken over"}
                item |= {f"{above}_guid": parents[above] for above in KINDS[: KINDS.index(kind)]}
                for query in ("", f"company_guid={foreign.company.guid}", "match=piece_id"):
                    yield query, {plural: [{name: value for name, value in item.items() if value}]}


def _posts(path: str, foreign: Tenant) -> Iterator[Ask]:
    """Forms of the admin, with what any of them may ask for; and a bare POST."""
    guids = [str(guid) for guid in foreign.guids.values()]
    form = {
        **{"company": str(foreign.company.guid), "guid": guids, "_selected_action": guids, "name": "taken over"},
        **{"email": "new@example.com", "role": "Operator", "is_active": "", "description": "taken over"},
        **{"usable_password": "true", "password1": "s3cret-enough-for-all", "password2": "s3cret-enough-for-all"},
        **{"scopes": "sync:read", "overlap": "0", "code": "taken over", "piece_id": "taken over"},
        **{"decision": "import", "entity": "pieces"},
        "seen": timezone.now().isoformat(),
    }
    if is_staffs(path):
        is_list = path.count("/") == 3  # actions are of a list
        for action in ("delete_chosen", "restore_selected")[: 2 if is_list else 1]:
            yield Ask("POST", path, body=form | {"action": action})
    else:
        yield Ask("POST", path)


# --- What is answered ---------------------------------------------------------------------------


def writes() -> int:
    """How many rows have been written in this transaction, rolled back ones too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables")
        return int(cursor.fetchone()[0])


def complaints(own: Tenant, foreign: Tenant, wanted: Sequence[str] = ()) -> dict[str, str]:
    """By request: what it showed of the foreign company's, or that it changed something of theirs. With `wanted`, how
    complaints begin, only what could lead to these, each until it is found."""
    missing = list(wanted)
    staff, api = admin_of(own.company), Api().with_key(own.key)
    manager = Api().with_user(UserFactory.create(company=own.company))
    session = staff.cookies["sessionid"].value
    before, found, asked = rows_of(foreign), {}, 0
    refused: set[str] = set()  # the pages that even without a query are none
    for ask in asks(own, foreign):
        if ask.narrows and ask.path in refused:
            continue
        if wanted and not any(str(ask).startswith(beginning.partition(": ")[2]) for beginning in missing):
            continue
        around = transaction.atomic()
        around._from_testcase = True  # type: ignore[attr-defined]  # as Django's TestCase: a request may be a whole transaction in it
        with around:
            staff.cookies.clear()  # the page before may have logged out, or left a message that repeats a guid
            staff.cookies["sessionid"] = session
            who = staff if ask.path.startswith("admin/") else manager if is_managed(ask.path) else api
            written = writes()
            status, said = _answer(who, ask)
            asked += 1
            if ask.method == "GET" and not ask.query and status >= 300:
                refused.add(ask.path)
            if any(secret in said and secret not in str(ask) for secret in foreign.secrets):
                found[f"shown: {ask}"] = said
            if writes() != written and rows_of(foreign) != before:
                found[f"changed: {ask}"] = said
            transaction.set_rollback(True)
        missing = [beginning for beginning in missing if not any(each.startswith(beginning) for each in found)]
    assert wanted or asked > 1000
    return found


def _answer(client: Client, ask: Ask) -> tuple[int, str]:
    client.raise_request_exception = False  # behind one wall, the other one may well be a 500
    path = f"/{ask.path}?{ask.query}"
    if ask.path.startswith("admin/"):
        answer: Any = client.post(path, ask.body) if ask.method == "POST" else client.generic(ask.method, path)
    else:
        body = to_json(ask.body).decode() if ask.body else ""
        answer = client.generic(ask.method, path, body, "application/json")
    return answer.status_code, answer.getvalue().decode(errors="replace") + str(answer.headers)  # of a stream, too


# --- The walls ----------------------------------------------------------------------------------


class Unchecked(Scope):
    def covers(self, company: uuid.UUID) -> bool:
        return True


@pytest.fixture
def no_wall_1(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither the filter of the scope nor the checks of a batch's companies; a scope there is still."""
    reading._compiled.cache_clear()  # queries that have the filter
    monkeypatch.setattr(TenantManager, "get_queryset", models.Manager.get_queryset)
    for module in ("admin.keys", "admin.users", "managing"):
        monkeypatch.setattr(f"tenants.{module}.of_company", lambda rows: rows)
    monkeypatch.setattr("tenants.serializers.OfCompanySerializer.validate_company_guid", lambda self, company: company)
    monkeypatch.setattr("sync.submission.current_scope", lambda: Unchecked(current_scope().company))
    of_items = lambda items: frozenset(item["company_guid"].bytes for item in items)  # noqa: E731
    monkeypatch.setattr("sync.planning._companies", of_items)
    yield
    reading._compiled.cache_clear()  # those that lack it


@pytest.fixture
def no_wall_2(db: None) -> None:
    """Until the transaction of the test is rolled back."""
    with connection.cursor() as cursor:
        for table in tenant_tables():
            for statement in expose(table):
                cursor.execute(statement)


def test_with_wall_1_down_nothing_foreign_is_shown_or_changed(no_wall_1: None) -> None:
    assert complaints(tenant("Ahorn"), tenant("Birke")) == {}


def test_with_wall_2_down_nothing_foreign_is_shown_or_changed(no_wall_2: None) -> None:
    assert complaints(tenant("Ahorn"), tenant("Birke")) == {}


def test_with_both_down_it_would_have_been_seen(no_wall_2: None, no_wall_1: None) -> None:
    """Or the two tests above could not fail."""
    wanted = [
        *(f"{what}{plural}" for plural in PLURALS for what in ("shown: GET /api/v1/", "changed: POST /api/v1/sync/")),
        *(f"changed: DELETE /api/v1/{plural}/" for plural in PLURALS),
        *(f"shown: GET /admin/pieces/{kind}/" for kind in KINDS),
        *(f"{what} /api/v1/{plural}/" for plural in ("users", "api-keys") for what in ("shown: GET", "changed: PATCH")),
        *(f"changed: DELETE /api/v1/{plural}/" for plural in ("users", "api-keys")),
        *(f"changed: POST /api/v1/{plural}" for plural in ("users", "api-keys")),
        "shown: GET /api/v1/companies",
        *(
            f"shown: GET /admin/{name}/"
            for name in ("tenants/apikey", "tenants/user", "sync/syncrun", "pieces/deletion")
        ),
    ]
    found = complaints(tenant("Ahorn"), tenant("Birke"), wanted)
    assert [beginning for beginning in wanted if not any(each.startswith(beginning) for each in found)] == []
