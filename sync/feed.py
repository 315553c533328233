"""The change feed, `GET /api/v1/changes`: every row that has been written since a cursor, without a gap (contract,
"Changes"; docs/decisions/0022-the-change-feed.md). A first copy walks all rows by their keys; then come the acts below
the horizon, in the order of commits, in windows of a few hundred. A window never changes, but for rows that a later act
has written."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import crc32
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, NamedTuple
from uuid import UUID as Guid

import msgspec
from django.core.exceptions import ValidationError
from django.db import Error, connections
from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from msgspec.structs import replace
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from rest_framework.request import Request
from rest_framework.response import Response

from pieces.expressions import Horizon, NextPosition
from pieces.models import LEVELS, LEVELS_BY_PLURAL, Act, Entity
from pieces.openapi import AFTER
from pieces.reading import fields_of, largest_row, read_page
from ractory.api.errors import Fault, Gone, Unprocessable
from ractory.api.metrics import STATE
from ractory.api.openapi import TEXT, an_object, answer, array_of, named
from ractory.api.paging import MAX_LIMIT, MAX_PAGE_BYTES, Fields, Key, Page
from ractory.api.query import GUID, Flag, Json, Query, Text, Whole
from ractory.api.rendering import to_json
from ractory.api.replica import PRIMARY, REPLICA, may_lag
from sync.models import Feed
from tenants.permissions import MayRead
from tenants.scope import current_scope, every_company
from tenants.views import TenantView

NOW = "now"
DEFAULT_LIMIT = 500
MAX_CURSOR = 1000  # characters; the longest one has some 500
# Acts that are looked at together, which may grow in a later version, not shrink; and how often in one request.
WINDOW, WINDOWS = 500, 10

SAME_ONES = "Only these entities. A cursor is good for the same ones only."
NOT_NULL = Act._meta.get_field("guid")
BY_GUID = (Key("guid", NOT_NULL),)
BY_ACT = (Key("changed_in", NOT_NULL), *BY_GUID)
ENVELOPE = ("guid", "is_active", "updated_at", "changed_in")

GONE = (
    "This cursor can't be continued: rows have been purged, or the database is another one or an earlier state of it; "
    "start again without after"
)

# What another PostgreSQL, a database made anew, and one after a failover or a recovery to a moment have otherwise: they
# may use the numbers of transactions a second time.
DATABASE = (
    "(SELECT concat_ws('/', system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), oid) "
    "FROM pg_control_system(), pg_database WHERE datname = current_database())"
)
# How often rows of the scope's companies have been purged; of every company, those that are gone too.
PURGES = (
    "SELECT CAST(sum(feed_epoch) + (SELECT coalesce(sum(erased), 0) FROM sync_feed WHERE %s IS NULL) AS bigint) "
    "FROM tenants_company WHERE guid = %s OR %s IS NULL"
)


class Behind(Error):
    """The replica lacks what the answer needs: `may_lag` asks the primary instead."""


class Place(NamedTuple):
    """Where an act stands in the order of commits."""

    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    guid: Guid


BEGINNING, END = Place(0, Guid(int=0)), Place(2**63 - 1, Guid(int=2**128 - 1))
Runs = dict[Place, Guid | None]  # of each act the guid of its receipt


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """What is followed, in which database, and how far; opaque to clients.

    How far, in a first copy (`entity` without `until`): the entities before are copied, and of this one the rows up to
    `guid`. Between two windows (neither): all acts up to `since` are done. In a window (`until`): of the acts from
    there to `until` the entities before are done, and of this one the rows up to `guid` of the act `act`.
    """

    company: Guid | None  # None: every one
    entities: tuple[str, ...]  # by their plurals
    database: str
    purges: int  # in these companies, before the first row was read
    since: Place
    until: Place | None = None
    entity: str | None = None
    act: Guid | None = None
    guid: Guid | None = None

    def encoded(self) -> str:
        """URL-safe, with a checksum, which finds accidents. A forger may read no more by it than without."""
        said = msgspec.json.encode(self)
        return urlsafe_b64encode(crc32(said).to_bytes(4) + said).rstrip(b"=").decode()

    @classmethod
    def decoded(cls, text: str) -> "Cursor":
        """The one that a client has sent. Raises ValueError unless it is one to the letter."""
        cursor = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4))[4:], type=cls)
        if cursor.encoded() != text or cursor.entity not in (None, *cursor.entities):
            raise ValueError("altered")
        return cursor


class ChangesQuery(Query):
    """What the feed can be asked for; `levels` are the models that `entity` names."""

    after = Text(
        max_length=MAX_CURSOR,
        help_text=f"The `cursor` of the last answer, or `{NOW}`: no rows, only the cursor of this moment. Without it "
        "from the beginning: all rows, deleted ones too.",
    )
    limit = Whole(1, MAX_LIMIT, DEFAULT_LIMIT, help_text=f"How many changes at most; {DEFAULT_LIMIT} by default.")
    entity = Fields(LEVELS_BY_PLURAL, what="entity", help_text=SAME_ONES)
    detail = Flag(help_text="Full objects instead of short ones.")

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.fields["fields"] = Fields(dict.fromkeys(name for level in LEVELS for name in fields_of(level, full=True)))

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        chosen = given.get("entity") or LEVELS_BY_PLURAL
        levels = given["levels"] = [level for level in LEVELS if level.plural in chosen]
        if not all(any(name in fields_of(level, full=True) for level in levels) for name in given.get("fields", ())):
            self.add_error("fields", ValidationError("One of the fields is of other entities", "fields_of_others"))
        if given.get("after") not in (None, NOW):
            try:
                given["cursor"] = Cursor.decoded(given["after"])
            except ValueError:
                self.add_error("after", ValidationError("Input should be a cursor of an answer", "cursor_parsing"))
        return given


NOTHING = {"type": "object", "maxProperties": 0, "description": "Of an entity that has none of the `fields`."}
SHAPES = [f"{level.__name__}{shape}" for level in LEVELS for shape in ("Detail", "Response", "Fields")]
CHANGE = {
    "entity": {"type": "string", "enum": list(LEVELS_BY_PLURAL)},
    "guid": GUID,
    "is_active": {"type": "boolean"},
    "updated_at": {"type": "string", "format": "date-time"},
    "run_guid": {**GUID, "type": ["string", "null"], "description": "The receipt of the run that wrote the row last."},
    "object": {"anyOf": [*({"$ref": f"#/components/schemas/{name}"} for name in SHAPES), NOTHING]},
}
CHANGES = {
    "changes": array_of(named("Change", an_object(CHANGE)), maxItems=MAX_LIMIT),
    "cursor": {**TEXT, "maxLength": MAX_CURSOR, "description": "Send it as `after` next time."},
    "more": {"type": "boolean", "description": "There may be more: ask again at once."},
}


class ChangesView(TenantView):
    """A page of changes."""

    permission_classes = (MayRead,)
    query_class = ChangesQuery

    @extend_schema(
        operation_id="list_changes",
        summary="What has changed since a cursor",
        description=(
            "Every row that was written since, once, as it is now; deleted ones too. Ask again and again with the last "
            "`cursor`, and nothing is missed. A page may be shorter than `limit`, even empty, while `more` is true."
        ),
        parameters=[AFTER],
        responses={200: answer("The changes.", named("Changes", an_object(CHANGES)))},
    )
    @may_lag
    def get(self, request: Request) -> Response:
        given = self.query.checked()
        cursor, page, more = _begun(given), _Page(given), False
        if given["after"] != NOW:
            cursor, more = page.fill(cursor)
        return Response({"changes": page.changes, "cursor": cursor.encoded(), "more": more})


def _asked(alias: str, question: str) -> Any:
    """The one row that this database answers; the question may name the scope's company, three times. Not by Django's
    expressions, here and in `_acts`: they take longer than the answer."""
    return connections[alias].cursor().execute(question, [current_scope().company] * 3).fetchone()


def _source() -> tuple[str, int]:
    """The database and its purges, with which cursors end; by the primary, which alone knows whether it is one."""
    database = DATABASE if connections[PRIMARY].vendor == "postgresql" else "''"  # of SQLite nothing tells
    found = _asked(PRIMARY, f"SELECT identity, {database}, ({PURGES}) FROM sync_feed")  # noqa: S608  # our own words
    if found is None:
        Feed.objects.get_or_create(pk=Feed.KEY)
        return _source()
    return hashlib.blake2b(f"{found[0]}/{found[1]}".encode(), digest_size=8).hexdigest(), found[2]


def _begun(given: Mapping[str, Any]) -> Cursor:
    """Where the answer begins. Raises 422 for a cursor of another feed, 410 for one that can't be continued. Purges are
    counted before any row is read, so that what is purged meanwhile ends the cursor."""
    database, purged = _source()
    if Act.objects.db == REPLICA and _asked(REPLICA, PURGES) != (purged,):  # it still has the rows
        raise Behind
    company, entities = current_scope().company, tuple(level.plural for level in given["levels"])
    cursor: Cursor | None = given.get("cursor")
    if cursor is None:
        acts = Act.objects.filter(position__lt=Horizon()).order_by("-position", "-guid")
        since = Place(*(acts.values_list("position", "guid").first() or BEGINNING))
        first = None if given["after"] == NOW else entities[0]
        return Cursor(company, entities, database, purged, since, entity=first)
    if (cursor.company, cursor.entities) != (company, entities):
        said = "The cursor is one for another company, or for another choice of entity"
        raise Unprocessable([Fault(("query", "after"), said, "cursor_purpose")])
    if (cursor.database, cursor.purges) != (database, purged):
        raise Gone(GONE)
    return cursor


def _acts(cursor: Cursor, most: int) -> Runs:
    """The acts after those that are done, in order, up to the window's end or the horizon. Those that the cursor names
    must be there: a replica may not have them yet; a primary that lacks them has gone back in time."""
    connection, until = connections[Act.objects.db], cursor.until or END
    horizon = Horizon.on_sqlite if connection.vendor == "sqlite" else Horizon.template
    of_company = "company_guid = %s AND" if cursor.company else ""
    question = f"""
        SELECT position, guid, run_guid FROM pieces_act WHERE {of_company} (position, guid) >= (%s, %s)
        AND (position, guid) <= (%s, %s) AND position < {horizon} ORDER BY position, guid LIMIT %s
    """  # noqa: S608  # our own words
    company = [cursor.company] if cursor.company else []
    found = connection.cursor().execute(question, [*company, *cursor.since, *until, most + 1]).fetchall()
    # SQLite's driver knows no UUIDs.
    acts: Runs = {Place(position, Guid(str(guid))): run and Guid(str(run)) for position, guid, run in found}
    if cursor.since not in (BEGINNING, *acts) or cursor.until not in (None, *acts):
        raise Behind if Act.objects.db == REPLICA else Gone(GONE)
    acts.pop(cursor.since, None)
    return acts


class _Page:
    """A page that is being filled, with at most `limit` rows, and `MAX_PAGE_BYTES` but for one object of each level."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.levels: Sequence[type[Entity]] = given["levels"]
        self.chosen, self.full = given["fields"], given["detail"]
        self.rows_left, self.bytes_left = given["limit"], MAX_PAGE_BYTES
        self.changes = list[Json]()

    def fill(self, cursor: Cursor) -> tuple[Cursor, bool]:
        """Reads on from there; where the page ends, and whether there may be more."""
        if cursor.entity and not cursor.until:
            _acts(cursor, 0)  # raises if this server has not the state that the copy began with
            if (end := self._walk(cursor, {})) is not None:
                return end, True
            cursor = replace(cursor, entity=None, guid=None)
        for _ in range(WINDOWS):
            if not (acts := _acts(cursor, WINDOW)):
                return cursor, False
            window = replace(cursor, until=max(acts))
            if (end := self._walk(window, acts)) is not None:
                return end, True
            cursor = replace(cursor, since=window.until, until=None, entity=None, act=None, guid=None)
        return cursor, True

    def _walk(self, cursor: Cursor, acts: Runs) -> Cursor | None:
        """Takes the rows of these acts, or without acts all rows, level by level; where the page ends, None if they
        all fit."""
        for level in self.levels[cursor.entities.index(cursor.entity) if cursor.entity else 0 :]:
            goes_on = level.plural == cursor.entity
            place = cursor if goes_on else replace(cursor, entity=level.plural, act=None, guid=None)
            for rows, keys, after in _parts(level, place, acts):
                if self.rows_left <= 0 or self.bytes_left <= 0:
                    return place
                page = Page(keys, limit=self.rows_left, offset=0, count=False, after=after)
                act, guid, is_cut = self._take(rows, page, acts, cursor.since)
                if guid:
                    place = replace(place, act=act if acts else None, guid=guid)
                if is_cut:
                    return place
        return None

    def _take(self, rows: Any, page: Page, acts: Runs, since: Place) -> tuple[Guid | None, Guid | None, bool]:
        """Takes a page of the rows; the act and the guid of its last row, and whether there are more. In a copy rows of
        later acts than it began with are left out: they come with their acts, parents first."""
        known = fields_of(rows.model, full=self.full or bool(self.chosen))
        fields = [name for name in self.chosen if name in known] if self.chosen else known
        found, last = read_page(rows, page, tuple(dict.fromkeys((*fields, *ENVELOPE))), most=self.bytes_left)
        self.rows_left -= len(found)
        size = len(found) * largest_row(rows.model, fields)
        self.bytes_left -= size if size <= MAX_PAGE_BYTES / 2 else len(to_json(found))
        runs, late = {act.guid: run for act, run in acts.items()}, set[Guid]()
        if not acts:
            written = Act.objects.filter(guid__any_of={row["changed_in"] for row in found} - {None})
            for position, guid, run, end in written.values_list("position", "guid", "run_guid", NextPosition()):
                runs[guid] = run
                if since < (position, guid) and position < end:
                    late.add(guid)
        unwanted = set(ENVELOPE).difference(fields)
        act = guid = None
        for row in found:
            guid, is_active, updated_at, act = (row[name] for name in ENVELOPE)
            about = {"entity": rows.model.plural, "guid": guid, "is_active": is_active, "updated_at": updated_at}
            for name in unwanted:
                del row[name]
            if act not in late:
                self.changes.append({**about, "run_guid": runs.get(act), "object": row})
        return act, guid, last is not None


def _parts(level: type[Entity], place: Cursor, acts: Runs) -> Iterator[tuple[Any, tuple[Key, ...], Any]]:
    """The rows of this level that are still to be given: each part with its order and where in it to begin. The rest of
    an act that is given in part is by itself: among others PostgreSQL would begin with its first row."""
    after = (place.guid,) if place.guid else None
    if not acts:
        yield level.all_objects.all(), BY_GUID, after
        return
    if place.act and after:
        yield level.all_objects.filter(changed_in=place.act), BY_GUID, after
    rest = [act.guid for act in acts if place.act is None or act.guid > place.act]
    yield level.all_objects.filter(changed_in__any_of=rest), BY_ACT, None


class LagCollector(Collector):
    """How far behind the feed is: a transaction that goes on and on keeps what is committed after it from the feed."""

    @every_company()
    def collect(self) -> list[GaugeMetricFamily]:
        lag = GaugeMetricFamily("ractory_feed_lag_seconds", "Age of the oldest act that the change feed can't show yet")
        hidden = Act.across_companies.filter(position__gte=Horizon()).order_by("position", "guid")
        with suppress(Error):  # ractory_database_up tells
            at = hidden.values_list("at", flat=True).first()
            lag.add_metric([], max(0.0, (timezone.now() - at).total_seconds()) if at else 0.0)
        return [lag]


STATE.register(LagCollector())
