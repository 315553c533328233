"""`manage.py migrate_legacy`, from the old server's tables with all the faults that were seen in them."""

import json
import uuid
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from django.test import override_settings

from pieces.models import LEVELS, Act, Assembly, Component, Deletion, Piece, Project
from pieces.tests.factories import PieceFactory
from ractory import settings
from ractory.api.tests.client import Api
from sync.files.importing import Importer
from sync.models import FileImport, SyncRun
from sync.tests.old_server import PIECE_NUMBERS, PIECE_TEXTS, SCHEMA, Old, old, server
from tenants.models import ApiKey, Company, User
from tenants.tests.commands import Manage
from tenants.tests.factories import PASSWORD, CompanyFactory, UserFactory

__all__ = ("old", "server")

pytestmark = pytest.mark.django_db


def report_in(path: Path) -> dict[str, list[tuple[Any, str]]]:
    """By entity and guid, what is wrong: field and type."""
    found = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        found[f"{row['entity']} {row['guid']}"] = [(fault["field"], fault["type"]) for fault in row["faults"]]
    return found


def test_a_factory_comes_over_with_everything_that_its_rows_hold(old: Old, manage: Manage) -> None:
    project = old.project(code="P-1", due_date="2025-12-24T08:00:00+01", in_production=None, company_name="Bauherr Ü")
    component = old.component(project, code="C-1", designation="D", quantity=3, picture=b"\x00\xffpicture")
    above = component | {"assembly_guid": old.add("assemblies", **component, trolley_cell="7", cell_number=7)}
    texts = {name: f'{name} \\ "quoted" {chr(1)} \n Ü 🪟' for name in PIECE_TEXTS}
    numbers = {name: number - 5 for number, name in enumerate(PIECE_NUMBERS)}
    piece = old.piece(above, "X", **texts, **numbers, picture=bytes(range(256)))
    old.piece(component, "Y", barcode="")
    outcome = manage("migrate_legacy", old.url, "--json")
    assert outcome.code == 0, outcome
    assert [outcome.json[f"{plural}_inserted"] for plural in ("companies", "projects", "components", "pieces")] == [
        *(1, 1, 1, 2)
    ]
    assert (outcome.json["broken_invariants"], outcome.json["not_taken"]) == (0, {})
    company = Company.objects.get()
    assert (str(company.guid), company.name, company.short_name) == (old.company, "Fenster Huber", "Huber")
    stored: Any = Piece.objects.get(guid=piece)
    assert {name: getattr(stored, name) for name in (*texts, *numbers)} == texts | numbers
    assert (bytes(stored.picture), str(stored.assembly_guid)) == (bytes(range(256)), above["assembly_guid"])
    assert (Piece.objects.get(piece_id="Y").barcode, Assembly.objects.get().cell_number) == ("", 7)
    stored_project, stored_component = Project.objects.get(), Component.objects.get()
    assert (stored_project.due_date.isoformat(), stored_project.in_production) == ("2025-12-24T07:00:00+00:00", None)
    assert (stored_component.quantity, bytes(stored_component.picture)) == (3, b"\x00\xffpicture")


def test_every_column_that_an_item_may_set_is_one_of_the_old_tables() -> None:
    for model in LEVELS:
        for field in model.settable_fields():
            known = SCHEMA.partition(f"CREATE TABLE {model.plural} (")[2].partition(");")[0]
            assert f"{field.attname} " in known, field


def test_users_log_in_with_their_old_passwords_which_are_hashed_anew(old: Old, manage: Manage) -> None:
    guid = old.user("Anna@Example.com", "CompanyAdmin", name="Anna", surname="Huber")
    old.user("off@example.com", is_active=False)
    assert manage("migrate_legacy", old.url, "--json").json["users_inserted"] == 2
    user = User.objects.get(guid=guid)
    assert (user.email, user.role, user.name, user.surname) == ("anna@example.com", "CompanyAdmin", "Anna", "Huber")
    assert user.password.startswith("bcrypt$$2b$04$")
    hashers = [f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("MD5", "BCrypt")]
    with override_settings(PASSWORD_HASHERS=hashers):
        for email, password, status in (
            ("anna@example.com", "wrong", 401),
            ("anna@example.com", PASSWORD, 200),
            ("anna@example.com", PASSWORD, 200),
            ("off@example.com", PASSWORD, 401),
        ):
            answer = Api().post("/api/v1/auth/login", {"email": email, "password": password})
            assert answer.status_code == status, (email, password)
        user.refresh_from_db()
        assert user.password.startswith("md5$")
        long = User.objects.get(email="off@example.com")
        long.password = f"bcrypt${bcrypt.hashpw(b'x' * 72, bcrypt.gensalt(4)).decode()}"
        assert long.check_password("x" * 1000)  # as the old server: bcrypt looks at 72 bytes


def test_the_settings_know_the_old_hashes() -> None:
    names = [name.rpartition(".")[2] for name in settings.PASSWORD_HASHERS]
    assert names == ["PBKDF2PasswordHasher", "BCryptPasswordHasher"]


def test_keys_are_listed_to_be_issued_anew(old: Old, manage: Manage, tmp_path: Path) -> None:
    key = old.add("api_keys", key_hash="$2b$12$x", description="Saw 2", scopes="sync:read,sync:write")
    old.add("api_keys", key_hash="$2b$12$y", is_active=False)
    outcome = manage("migrate_legacy", old.url, "--report", tmp_path / "report", "--json")
    assert (outcome.code, outcome.json["not_taken"]) == (1, {"api-keys: key_to_issue": 1})
    (line,) = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    assert (line["guid"], line["description"], line["scopes"]) == (key, "Saw 2", "sync:read,sync:write")
    assert "$2b$" not in (tmp_path / "report").read_text()
    assert not ApiKey.objects.exists()


def test_each_fault_of_the_old_rows_is_reported_and_the_rest_is_taken(old: Old, manage: Manage, tmp_path: Path) -> None:
    other = old.add("companies", name="Fenster Huber")  # a name twice is no fault
    good = old.component(old.project())
    foreign = old.component(old.project(company_guid=other), company_guid=other)
    gone = old.component(old.project(is_active=False), is_active=False)  # deleted_at is null
    unknown = {"project_guid": str(uuid.uuid4()), "component_guid": str(uuid.uuid4())}
    first, last = (str(uuid.UUID(int=number)) for number in (1, 2**128 - 1))  # rows come in the order of their guids
    kept = [
        old.piece(good, "kept", guid=first),
        old.piece(good, "kept", is_active=False),
        old.piece(gone, "gone", is_active=False),
    ]
    faults = {
        f"projects {old.project(code='x' * 256)['project_guid']}": [("code", "string_too_long")],
        f"projects {old.project(due_date='infinity')['project_guid']}": [("due_date", "datetime_from_date_parsing")],
        f"projects {old.project(due_date='0044-03-15 12:00+00 BC')['project_guid']}": [
            ("due_date", "datetime_from_date_parsing")
        ],
        f"projects {old.project(company_guid=str(uuid.uuid4()))['project_guid']}": [(None, "company_not_found")],
        f"components {old.component(unknown)['component_guid']}": [("project_guid", "parent_not_found")],
        f"components {old.component(foreign)['component_guid']}": [("project_guid", "parent_not_found")],
        f"components {old.component(good, picture=b'x' * 262_145)['component_guid']}": [("picture", "bytes_too_long")],
        f"assemblies {old.add('assemblies', **good | {'project_guid': old.project()['project_guid']})}": [
            ("component_guid", "parent_mismatch")
        ],
        f"pieces {old.piece(good, 'kept', guid=last)}": [("piece_id", "piece_id_taken")],
        f"pieces {old.piece(good, 'y' * 300, info2='z' * 4001, barcode='ü' * 255)}": [
            ("piece_id", "string_too_long"),
            ("info2", "string_too_long"),
        ],
        f"pieces {old.piece(unknown, 'lost')}": [
            ("project_guid", "parent_not_found"),
            ("component_guid", "parent_not_found"),
        ],
        f"pieces {old.piece(gone, 'below what is deleted')}": [
            ("project_guid", "parent_deleted"),
            ("component_guid", "parent_deleted"),
        ],
        f"pieces {old.piece(good, 'a', assembly_guid=str(uuid.uuid4()))}": [("assembly_guid", "parent_not_found")],
        f"users {old.user('not an email')}": [(None, "invalid")],
        f"users {old.user('boss@example.com', 'Boss')}": [(None, "invalid")],
        f"users {old.user('lost@example.com', company_guid=str(uuid.uuid4()))}": [(None, "invalid")],
        f"users {old.user('long@example.com', name='x' * 256)}": [(None, "invalid")],
        f"users {old.user('plain@example.com', pwd_hash='secret')}": [(None, "password")],
        f"users {old.user('slow@example.com', pwd_hash='$2b$31$' + 'x' * 53)}": [(None, "password")],
    }
    old.user("twice@example.com", guid=first)
    faults[f"users {old.user('Twice@Example.com', guid=last)}"] = [(None, "invalid")]
    outcome = manage("migrate_legacy", old.url, "--report", tmp_path / "report", "--json")
    assert outcome.code == 1
    found = report_in(tmp_path / "report")
    for name, reasons in faults.items():
        assert found.pop(name) == reasons, name
    assert found == {}
    assert sum(outcome.json["not_taken"].values()) >= len(faults)
    assert {str(guid) for guid in Piece.all_objects.values_list("guid", flat=True)} == set(kept)
    assert {str(piece.guid) for piece in Piece.objects.all()} == {kept[0]}
    assert Company.objects.filter(name="Fenster Huber").count() == 2
    assert sorted(User.objects.values_list("email", flat=True)) == [
        *("plain@example.com", "slow@example.com", "twice@example.com")
    ]
    assert outcome.json["broken_invariants"] == 0
    assert "secret" not in (tmp_path / "report").read_text()


def test_run_again_it_goes_on_and_changes_nothing_that_is_here(old: Old, manage: Manage) -> None:
    above = old.component(old.project())
    for number in range(3):
        old.piece(above, str(number))
    old.user("anna@example.com")
    manage("migrate_legacy", old.url)
    User.objects.update(role="Integration")
    before = list(Piece.objects.order_by("guid").values_list("guid", "updated_at", "changed_in"))
    new = old.piece(above, "new")
    again = manage("migrate_legacy", old.url, "--json").json
    assert (again["companies_here_already"], again["users_here_already"]) == (1, 1)
    assert [again[f"pieces_{count}"] for count in ("rows", "inserted", "unchanged")] == [4, 1, 3]
    assert User.objects.get().role == "Integration"
    rows = Piece.objects.order_by("guid")
    assert list(rows.exclude(guid=new).values_list("guid", "updated_at", "changed_in")) == before
    assert FileImport.objects.count() == 4


def test_what_has_changed_on_the_old_server_is_taken_by_the_next_run(old: Old, manage: Manage) -> None:
    piece = old.piece(old.component(old.project()), "X", outer_length=1000)
    manage("migrate_legacy", old.url)
    old.connection.execute("UPDATE pieces SET outer_length = 1200, is_active = false")
    assert manage("migrate_legacy", old.url, "--json").json["pieces_unchanged"] == 0
    stored: Any = Piece.all_objects.get(guid=piece)
    assert (stored.outer_length, stored.is_active) == (1200, False)


def test_stopped_half_way_it_is_taken_up_by_running_it_again(
    old: Old, manage: Manage, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = old.component(old.project())
    for number in range(3):
        old.piece(above, str(number))
    add = Importer.add

    def stopped(self: Importer, rows: Any) -> Any:
        if self.model is Piece:
            raise KeyboardInterrupt
        return add(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Importer, "add", stopped)
        outcome = manage("migrate_legacy", old.url)
    assert (outcome.code, outcome.complaint) == (130, "stopped; run it again to go on")
    assert (Component.objects.count(), Piece.objects.count()) == (1, 0)
    assert manage("migrate_legacy", old.url).code == 0
    assert Piece.objects.count() == 3


def test_a_dry_run_tells_all_and_writes_nothing(old: Old, manage: Manage, tmp_path: Path) -> None:
    above = old.component(old.project())
    twin = [old.piece(above, "twin"), old.piece(above, "twin")]
    old.user("anna@example.com")
    told = manage("migrate_legacy", old.url, "--dry-run", "--report", tmp_path / "dry", "--json").json
    for model in (Company, User, Project, Component, Piece, Act, Deletion, SyncRun, FileImport):
        assert not model.objects.exists(), model
    done = manage("migrate_legacy", old.url, "--report", tmp_path / "real", "--json").json
    assert told == done | {"dry_run": True}
    assert (tmp_path / "dry").read_text() == (tmp_path / "real").read_text()
    assert report_in(tmp_path / "dry") == {f"pieces {max(twin)}": [("piece_id", "piece_id_taken")]}
    assert Piece.objects.count() == 1


def test_a_guid_that_another_company_has_here_is_reported_and_its_row_untouched(old: Old, manage: Manage) -> None:
    here = PieceFactory.create(company=CompanyFactory.create(), barcode="mine")
    old.piece(old.component(old.project()), "X", guid=str(here.guid))
    outcome = manage("migrate_legacy", old.url, "--json")
    assert outcome.json["not_taken"] == {"pieces: guid_taken": 1}
    here.refresh_from_db()
    assert here.barcode == "mine"


def test_an_email_that_a_user_has_here_is_reported(old: Old, manage: Manage) -> None:
    UserFactory.create(email="anna@example.com")
    old.user("anna@example.com")
    outcome = manage("migrate_legacy", old.url)
    assert outcome.code == 1
    assert "not taken: 1 × users: invalid" in outcome.out


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://nobody:pa55word@127.0.0.1:1/none", "the old server: "),
        ("nonsense pa55word", "the old server: "),
        ("mysql://x", "the old server: "),
    ],
)
def test_a_server_that_is_none_is_one_clear_line_without_the_password(manage: Manage, url: str, complaint: str) -> None:
    outcome = manage("migrate_legacy", url)
    assert outcome.code == 2
    assert outcome.complaint.startswith(f"{complaint}")
    assert "pa55word" not in outcome.err


def test_a_database_without_the_old_tables_is_one_clear_line(old: Old, manage: Manage) -> None:
    old.connection.execute("DROP TABLE pieces")
    outcome = manage("migrate_legacy", old.url.replace("postgres", "postgresql+asyncpg", 1))
    assert (outcome.code, 'relation "pieces" does not exist' in outcome.complaint) == (2, True)


def test_a_report_that_can_not_be_written_is_one_clear_line(old: Old, manage: Manage, tmp_path: Path) -> None:
    outcome = manage("migrate_legacy", old.url, "--report", tmp_path / "no" / "report")
    assert (outcome.code, outcome.complaint) == (
        2,
        f"{tmp_path / 'no' / 'report'}: No such file or directory",
    )
