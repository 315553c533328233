"""The second wall: what PostgreSQL itself shows and takes, whatever the application asks for."""

import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import Deletion, Piece, Project
from pieces.tests.factories import PieceFactory, ProjectFactory
from ractory.api.tests.client import Api
from tenants.models import Company, User
from tenants.postgresql.policies import tenant_tables, unprotected
from tenants.scope import Scope, company_scope, every_company, within
from tenants.tests.factories import UserFactory

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

NOBODY: Scope | None = None


@pytest.fixture(autouse=True)
def _bystander() -> None:
    """Instead of every test's: here nobody has said whose rows, until a test does."""


def names(table: str = "tenants_company", column: str = "name") -> set[Any]:
    """What raw SQL sees."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")  # noqa: S608  # the tests' own words
        return {name for (name,) in cursor.fetchall()}


def run(sql: str, *params: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def setting() -> str | None:
    """What PostgreSQL has been told, asked in a way that tells it nothing."""
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('ractory.company', true)")
        row = cursor.fetchone()
    return str(row[0] or "") if row else None


def test_every_tenant_table_has_a_policy_that_its_owner_heeds_too() -> None:
    assert {"tenants_company", "tenants_user", "pieces_piece", "sync_syncrun", "django_admin_log"} <= set(
        tenant_tables()
    )
    assert unprotected(connection) == []


def test_no_row_can_have_a_parent_of_another_company() -> None:
    """Each foreign key to rows of a company's has the company in it, so the database sees to that."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT key.conname, array_agg(held.attname) FROM pg_constraint AS key
               JOIN pg_attribute AS held ON held.attrelid = key.conrelid AND held.attnum = ANY(key.conkey)
               WHERE key.contype = 'f' AND key.confrelid::regclass::text LIKE 'pieces\\_%'
               GROUP BY key.oid, key.conname"""
        )
        keys = dict(cursor.fetchall())
    assert len(keys) >= 10
    assert [name for name, columns in keys.items() if "company_guid" not in columns] == []


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE pieces_piece DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE pieces_piece NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY company ON pieces_piece",
        "CREATE POLICY another ON pieces_piece USING (true)",
        "ALTER POLICY company ON pieces_piece USING (true)",
        "ALTER POLICY company ON pieces_piece WITH CHECK (true)",
        "ALTER POLICY company ON pieces_piece TO pg_monitor",
    ],
)
def test_a_hole_in_the_wall_is_found(damage: str) -> None:
    run(damage)
    assert unprotected(connection) == ["pieces_piece"]


@pytest.fixture
def rows(company: Company, other_company: Company) -> tuple[Piece, Piece]:
    """A piece of the one company and a piece of the other, a user of each, and one of none."""
    for of in (company, other_company, None):
        UserFactory.create(company=of, role="SystemAdmin")
    return PieceFactory.create(company=company), PieceFactory.create(company=other_company)


@pytest.mark.parametrize("table", ["tenants_company", "tenants_user", "pieces_piece", "pieces_component"])
def test_raw_sql_sees_the_rows_of_the_scope_and_without_one_none(
    rows: tuple[Piece, Piece], company: Company, other_company: Company, table: str
) -> None:
    column = "guid" if table == "tenants_company" else "company_guid"
    assert names(table, column) == set()
    for one in (company, other_company):
        with company_scope(one.guid):
            assert names(table, column) == {one.guid}
    with every_company():
        assert names(table, column) >= {company.guid, other_company.guid}
        assert (None in names(table, column)) == (table == "tenants_user")
    assert names(table, column) == set()


@pytest.mark.parametrize("scoped", [False, True])
def test_raw_sql_changes_no_foreign_row_and_without_a_scope_none(
    rows: tuple[Piece, Piece], company: Company, scoped: bool
) -> None:
    with within(Scope(company.guid) if scoped else NOBODY):
        assert run("UPDATE pieces_piece SET barcode = 'x'") == scoped
        assert run("UPDATE tenants_user SET is_active = false") == scoped
        assert run("DELETE FROM tenants_user WHERE company_guid IS DISTINCT FROM %s", company.guid) == 0
    with every_company():
        assert names("pieces_piece", "barcode") == ({"x", None} if scoped else {None})


INSERTS: dict[str, Callable[[Company], object]] = {
    "a company": lambda company: Company.objects.create(name="x"),
    "a user": lambda company: User.objects.create(email="x@example.com", role="Operator", company=company),
    "a user of none": lambda company: User.objects.create(email="x@example.com", role="SystemAdmin"),
    "a project": lambda company: Project(company=company, code="x").save(),
    "a row handed over": lambda company: run("UPDATE pieces_project SET company_guid = %s", company.guid),
}


@pytest.mark.parametrize("insert", INSERTS.values(), ids=INSERTS)
def test_no_row_can_be_written_for_another_company(
    company: Company, other_company: Company, insert: Callable[[Company], object]
) -> None:
    ProjectFactory.create(company=company)
    with company_scope(company.guid), pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        insert(other_company)


def test_without_a_scope_no_row_can_be_written_at_all(company: Company) -> None:
    for insert in (INSERTS["a company"], INSERTS["a user"], INSERTS["a user of none"], INSERTS["a project"]):
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            insert(company)


# --- How the scope gets there, and that it goes --------------------------------------------------


def test_the_scope_costs_no_statement_of_its_own(company: Company) -> None:
    with company_scope(company.guid), CaptureQueriesContext(connection) as queries:
        assert names() == {company.name}
        assert names() == {company.name}
    first, second = (query["sql"] for query in queries)
    assert first == f"SELECT set_config('ractory.company', '{company.guid}', true); {second}"


def test_a_scope_that_changes_within_a_transaction_is_told_again(company: Company, other_company: Company) -> None:
    both = {company.name, other_company.name}
    with every_company():
        assert names() >= both
        with company_scope(company.guid):
            assert names() == {company.name}
            with company_scope(other_company.guid):
                assert names() == {other_company.name}
            with within(None):
                assert names() == set()
        assert names() >= both
    assert names() == set()


def fail_within(scope: Scope) -> None:
    with transaction.atomic(), within(scope):
        names()
        raise ZeroDivisionError


def test_a_rollback_to_a_savepoint_takes_no_scope_away_and_leaves_none(
    company: Company, other_company: Company
) -> None:
    with every_company():
        assert names() >= {company.name, other_company.name}
    with company_scope(company.guid):
        with pytest.raises(ZeroDivisionError):  # PostgreSQL goes back to what it was told before: every company
            fail_within(Scope(company.guid))
        assert names() == {company.name}
        with pytest.raises(IntegrityError), transaction.atomic(), every_company():
            Company.objects.create(guid=other_company.guid, name="twice")
        assert names() == {company.name}
    assert names() == set()


def test_what_fails_before_it_is_sent_has_told_nothing(company: Company, other_company: Company) -> None:
    with every_company():
        assert len(names()) >= 2
    with company_scope(company.guid):
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT %s", ["\0"])
        assert names() == {company.name}


def test_every_way_to_send_a_statement_tells_the_scope(company: Company, other_company: Company) -> None:
    """COPY, many at once, a stream, a statement that is no string, a pipeline."""
    one = "SELECT name FROM tenants_company"
    with every_company():
        assert len(names()) >= 2  # were it forgotten below, this would still be in force
    with company_scope(company.guid), connection.cursor() as cursor:
        with cursor.copy(f"COPY ({one}) TO STDOUT") as copy:
            assert [bytes(line) for line in copy] == [f"{company.name}\n".encode()]
        with company_scope(other_company.guid):
            assert [name for (name,) in cursor.stream(one)] == [other_company.name]
        cursor.executemany("UPDATE tenants_company SET name = %s", [["a"], ["b"]])
        with company_scope(other_company.guid):
            cursor.execute(psycopg.sql.SQL(one))
            assert cursor.fetchall() == [(other_company.name,)]
        with connection.connection.pipeline():
            cursor.execute(one)
            assert cursor.fetchall() == [("b",)]


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_each_statement_has_the_scope_for_itself(
    company: Company, other_company: Company
) -> None:
    with company_scope(company.guid):
        assert names() == {company.name}
        assert setting() == ""
        with connection.cursor() as cursor:
            cursor.executemany("UPDATE tenants_company SET name = %s", [["a"], ["b"]])
            with cursor.copy("COPY (SELECT name FROM tenants_company) TO STDOUT") as copy:
                assert [bytes(line) for line in copy] == [b"b\n"]
        assert setting() == ""
    assert names() == set()
    with every_company():
        assert names() == {"b", other_company.name}


@pytest.mark.django_db(transaction=True)
def test_the_setting_ends_with_its_transaction_however_that_ends(company: Company) -> None:
    with company_scope(company.guid):
        with transaction.atomic():
            assert names() == {company.name}
            assert setting() == str(company.guid)
        assert setting() == ""
        with pytest.raises(ZeroDivisionError):
            fail_within(Scope(company.guid))
        assert setting() == ""
        with pytest.raises(DatabaseError), transaction.atomic():
            run("SELECT 1 / 0")
        assert setting() == ""
    with transaction.atomic():
        assert names() == set()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_begins_with_a_savepoint_is_told_too(company: Company) -> None:
    with company_scope(company.guid):
        with transaction.atomic():
            assert names() == {company.name}
        with transaction.atomic(), transaction.atomic():
            assert names() == {company.name}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("held", [False, True], ids=["in a transaction", "without one"])
def test_what_is_fetched_piece_by_piece_is_of_the_scope_it_began_in(
    company: Company, other_company: Company, held: bool
) -> None:
    for _ in range(5):
        ProjectFactory.create(company=company)
    ProjectFactory.create(company=other_company)
    with company_scope(company.guid), transaction.atomic() if not held else within(Scope(company.guid)):
        found = Project.across_companies.iterator(chunk_size=2)
        first = next(found)
        with every_company():
            names()
            assert {project.company_guid for project in (first, *found)} == {company.guid}
    assert setting() == ""


@pytest.mark.django_db(transaction=True)
def test_a_thread_s_next_request_begins_with_nothing(api: Api, key: str, company: Company) -> None:
    """On the same connection; and a request that fails leaves nothing either."""
    ProjectFactory.create(company=company)
    seen: list[object] = []

    def serve() -> None:
        for path in ("/api/v1/projects", "/api/v1/projects?limit=none"):
            seen.append(api.with_key(key).get(path).status_code)
            seen.extend((names(), setting(), id(connection.connection)))
        connection.close()

    with mock.patch("django.core.signals.request_finished.send"):  # the connection stays, as a worker's does
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
    same = seen[3]
    assert seen == [200, set(), "", same, 422, set(), "", same]


# --- Composite keys ------------------------------------------------------------------------------


PARENTS = ("project", "component", "assembly", "deletion")


@pytest.mark.parametrize("relation", PARENTS)
def test_a_row_of_another_company_can_be_no_parent(rows: tuple[Piece, Piece], relation: str) -> None:
    own, foreign = rows
    with every_company():
        deletion = Deletion(company_guid=foreign.company_guid, kind="piece", root_guid=foreign.guid, actor="test")
        deletion.save()
        foreign.deletion = deletion
        named = Piece.across_companies.filter(guid=own.guid)
        state = {"is_active": False, "deleted_at": timezone.now()} if relation == "deletion" else {}
        with pytest.raises(IntegrityError, match=f"piece_{relation}_of_company"), transaction.atomic():
            refused_at_once(lambda: named.update(**{relation: getattr(foreign, relation)}, **state))


def refused_at_once(change: Callable[[], object]) -> None:
    """Without waiting for the end of the transaction."""
    change()
    connection.check_constraints()


def test_each_relation_has_its_one_foreign_key_and_the_company_is_the_project_s(db: None) -> None:
    """Composite ones instead of simple ones: what an inserted row costs."""
    found = names("pg_constraint WHERE contype = 'f' AND conrelid = 'pieces_piece'::regclass", "conname")
    assert found == {f"piece_{relation}_of_company" for relation in PARENTS}
