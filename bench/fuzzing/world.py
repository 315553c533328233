"""What the fuzzer works on: two companies with everybody who may call, and a bounded set of rows, some never named.

What is of one company carries its marker, in texts; what no request ever names carries its sign in the guid too. An
answer to the other company that has either has gone through both walls.
"""

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.core.management import call_command
from django.db.models import Count, Max, Q
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from bench.fuzzing.wire import Application, Request
from pieces.models import LEVELS, LEVELS_BY_PLURAL, Deletion
from tenants.authentication import begin
from tenants.caller import KeyScope, Role
from tenants.models import ApiKey, Company, User
from tenants.scope import every_company

NAMES = ("A", "B")
MARKERS = {name: f"only-{name}-knows-{name * 4}" for name in NAMES}
HIDDEN = {"A": "a1a2a3a4-a5a6", "B": "b1b2b3b4-b5b6"}  # how the guids begin that no request names
FRESH = "fresh token of "
PASSWORD = "correct horse battery staple"
ROWS = {"projects": 3, "components": 5, "assemblies": 6, "pieces": 16}
SPARE = 8  # guids of each level that are not there at first
PARENTS = {
    "projects": (),
    "components": ("projects",),
    "assemblies": ("projects", "components"),
    "pieces": ("projects", "components", "assemblies"),
}
SINGULAR = {model.plural: model.kind.value for model in LEVELS}
State = dict[uuid.UUID, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Somebody:
    """A caller: of a company ("A", "B"), of every company (""), or nobody known (None)."""

    name: str
    company: str | None
    header: str  # that carries the secret: "X-API-Key", "ApiKey", "Bearer", "Cookie" or ""
    writes: bool = False


class World:
    """Made anew for each round, from the same names: so a round is the same whenever it is run."""

    def __init__(self) -> None:
        self.application = Application(self.fill)
        self.companies: dict[str, uuid.UUID] = {}
        self.guids: dict[str, dict[str, list[str]]] = {}  # by company and level; the first ones have rows
        self.managed: dict[
            str, dict[str, str]
        ] = {}  # by company: a user, a key and a company that are there to be changed
        self.callers: dict[str, Somebody] = {}
        self.secrets: dict[str, str] = {}

    @every_company()
    def fill(self, name: str) -> str:
        """The secret of this name; what a mutation made of a name stays as it is."""
        if name.startswith(FRESH):
            with every_company():
                user = User.objects.filter(email=f"{name.removeprefix(FRESH)}@example.com").first()
                return begin(user)["refresh_token"] if user else name
        return self.secrets.get(name, f"{{{{{name}}}}}")

    @every_company()
    @every_company()
    def begin(self) -> None:
        """Fills the empty database."""
        self.callers, self.secrets = {}, {"password": PASSWORD}
        for name in NAMES:
            company = Company.objects.create(guid=_guid(name, "company"), name=f"Company {MARKERS[name]}")
            self.companies[name] = company.guid
            self._people(name, company)
            self._spare(name, company)
        self._add("admin", "", "Bearer", self._token(self._user("admin", Role.SYSTEM_ADMIN, None)), writes=True)
        self._add("staff", "", "Cookie", self._session(self._user("staff", Role.SYSTEM_ADMIN, None)))
        self._strangers()
        for name in NAMES:
            self.guids[name] = {
                level: [_guid(name, level, number) for number in range(count + SPARE)] for level, count in ROWS.items()
            }
            self._rows(name)

    def restart(self) -> None:
        """Empties the whole database first."""
        call_command("flush", interactive=False, verbosity=0)
        self.begin()

    def _people(self, name: str, company: Company) -> None:
        for scope in (KeyScope.SYNC_WRITE, KeyScope.SYNC_READ):
            _, text = ApiKey.issue(company=company, scopes={KeyScope.SYNC_READ, scope})
            writes = scope == KeyScope.SYNC_WRITE
            self._add(f"{name} key {scope}", name, "X-API-Key", text, writes=writes)
            self._add(f"{name} key {scope} in Authorization", name, "ApiKey", text, writes=writes)
        for role in Role.values:
            if role != Role.SYSTEM_ADMIN:
                writes = role in (Role.COMPANY_ADMIN, Role.INTEGRATION)
                user = self._user(f"{name}-{role}".lower(), role, company)
                self._add(f"{name} {role}", name, "Bearer", self._token(user), writes=writes)
        staff = self._user(f"{name}-staff".lower(), Role.COMPANY_ADMIN, company)
        self._add(f"{name} staff", name, "Cookie", self._session(staff))
        self._user(f"{name}-login".lower(), Role.OPERATOR, company)  # whose tokens nobody else needs

    def _spare(self, name: str, company: Company) -> None:
        guids = {plural: _guid(name, plural, 0) for plural in ("companies", "users", "api-keys")}
        Company.objects.create(guid=guids["companies"], name=f"Spare {name}")
        fields = {"role": Role.OPERATOR, "company": company, "guid": guids["users"]}
        User.objects.create_user(f"{name}-spare@example.com".lower(), PASSWORD, **fields)
        ApiKey.issue(company=company, scopes=[KeyScope.SYNC_READ], guid=guids["api-keys"])
        self.managed[name] = guids

    def _strangers(self) -> None:
        company = Company.objects.get(guid=self.companies["A"])
        revoked, text = ApiKey.issue(company=company, scopes=[KeyScope.SYNC_WRITE])
        ApiKey.objects.filter(guid=revoked.guid).update(revoked_at=timezone.now())
        self._add("revoked key", None, "X-API-Key", text)
        inactive = self._user("inactive", Role.COMPANY_ADMIN, company)
        self._add("inactive user", None, "Bearer", self._token(inactive))
        User.objects.filter(guid=inactive.guid).update(is_active=False)
        user = self._user("expired", Role.COMPANY_ADMIN, company)
        self._add("expired token", None, "Bearer", self._token(user, -timedelta(hours=1)))
        self._add("refresh token", None, "Bearer", begin(user)["refresh_token"])
        self._add("unknown key", None, "X-API-Key", text[:-1] + ("0" if text[-1] != "0" else "1"))
        self._add("nobody", None, "", "")

    def _add(self, name: str, company: str | None, header: str, secret: str, *, writes: bool = False) -> None:
        self.callers[name] = Somebody(name, company, header, writes)
        self.secrets[name] = secret

    def _user(self, name: str, role: str, company: Company | None) -> User:
        return User.objects.create_user(f"{name}@example.com", PASSWORD, role=role, company=company)

    def _token(self, user: User, lifetime: timedelta = timedelta(days=1)) -> str:
        """Of a login; good for longer than usual, as a round may take longer on a busy machine."""
        token = AccessToken(begin(user)["access_token"])
        token.set_exp(lifetime=lifetime)
        return str(token)

    def _session(self, user: User) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies["sessionid"].value

    def _rows(self, name: str) -> None:
        """By the API itself: the rows that requests name, and one row of each level that none does."""
        for level, count in ROWS.items():
            items = [self.item(name, level, number) for number in range(count)]
            self._push(name, level, [*items, self._hidden(name, level)])

    def item(self, name: str, level: str, number: int) -> dict[str, Any]:
        """A row of the level, with the parents that the first rows have: number by number, so that they fit."""
        guids = self.guids[name]
        item: dict[str, Any] = {"guid": guids[level][number], "company_guid": str(self.companies[name])}
        project = number % ROWS["projects"]
        for parent in PARENTS[level]:
            place = {"projects": project, "components": project, "assemblies": project}[parent]
            item[f"{SINGULAR[parent]}_guid"] = guids[parent][place]
        if "code" in _texts(level):
            item["code"] = f"{level}-{number} {MARKERS[name]}"
        if level == "pieces":
            item |= {"piece_id": f"piece-{number}", "barcode": f"{number} {MARKERS[name]}", "outer_length": number}
        return item

    def _hidden(self, name: str, level: str) -> dict[str, Any]:
        item = self.item(name, level, 0)
        item["guid"] = hidden_guid(name, level)
        for parent in PARENTS[level]:
            item[f"{SINGULAR[parent]}_guid"] = hidden_guid(name, parent)
        return item

    def _push(self, name: str, level: str, items: list[dict[str, Any]]) -> None:
        headers = (("X-API-Key", f"{{{{{name} key sync:write}}}}"), ("Content-Type", "application/json"))
        body = orjson.dumps({level: items})
        request = Request(method="POST", path=f"/api/v1/sync/{level}", headers=headers, body=body, caller="")
        answer = self.application.send(request)
        if answer.status != 200:
            raise RuntimeError(f"The world can't be made: {answer}")

    def state(self) -> State:
        """What tells whether anything of a company was written: each table's counts and its last change."""
        found: dict[uuid.UUID, list[Any]] = defaultdict(list)
        active = Count("guid", filter=Q(is_active=True))
        with every_company():
            for model in LEVELS:
                rows = model.across_companies.values_list("company_guid")
                for company, *figures in rows.annotate(Count("guid"), Max("updated_at"), active=active):
                    found[company] += figures
            for company, *figures in Deletion.objects.values_list("company_guid").annotate(Count("guid")):
                found[company] += figures
        return {company: tuple(figures) for company, figures in found.items()}


def _texts(level: str) -> set[str]:
    model = LEVELS_BY_PLURAL[level]
    return {column.attname for column in model.settable_fields() if column.get_internal_type() == "CharField"}


def _guid(*names: object) -> Any:
    guid = uuid.uuid5(uuid.NAMESPACE_URL, "/".join(map(str, names)))
    return guid if len(names) == 2 else str(guid)


def hidden_guid(name: str, level: str) -> str:
    return f"{HIDDEN[name]}-4aaa-8aaa-{list(ROWS).index(level):012}"
