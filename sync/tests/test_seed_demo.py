"""`manage.py seed_demo`: a made-up company with orders, deletions, users and a key, the same each time."""

import sys
import uuid
from collections import Counter
from typing import Any

import orjson
import pytest
from django.db import models

from pieces.integrity import broken_invariants
from pieces.models import LEVELS, Deletion, Piece
from ractory.api.tests.client import Api
from sync import submission
from sync.management.commands import seed_demo
from sync.models import SyncRun
from sync.samples import order
from sync.tests.batches import all_rows, parse_body
from tenants.caller import Role
from tenants.models import Company, User
from tenants.scope import every_company
from tenants.tests.commands import Manage
from tenants.tests.factories import CompanyFactory, UserFactory

pytestmark = pytest.mark.django_db

COUNTS = ("projects", "components", "assemblies", "pieces", "deletions")
FIELDS = {"company_guid", "name", *COUNTS, "users", "password", "key"}
PIECES = 1300


def seed(manage: Manage, *arguments: object) -> dict[str, object]:
    outcome = manage("seed_demo", "--json", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json.keys() == FIELDS
    return outcome.json


def there() -> dict[str, int]:
    with every_company():
        assert not any(broken_invariants().values())
        counts = {level.plural: level.all_objects.count() for level in LEVELS}
        return counts | {"deletions": Deletion.objects.count()}


def test_it_makes_what_it_says_and_what_it_says_works(manage: Manage, api: Api) -> None:
    made = seed(manage, "--pieces", PIECES)
    assert there() == {name: made[name] for name in COUNTS}
    assert (made["pieces"], made["projects"], made["name"]) == (PIECES, 5, "Sample Windows")
    with every_company():
        assert Counter(Deletion.objects.values_list("kind", flat=True)) == {"project": 1, "component": 4, "piece": 4}
        assert set(SyncRun.objects.values_list("status", "company_guid")) == {
            ("succeeded", uuid.UUID(str(made["company_guid"])))
        }
    roles = {}
    for email in made["users"]:  # type: ignore[attr-defined]  # JSON
        login = api.post("/api/v1/auth/login", {"email": email, "password": made["password"]})
        assert login.status_code == 200
        roles[login.json()["role"]] = email
    assert set(roles) == set(Role.values)
    me = api.with_key(str(made["key"])).get("/api/v1/auth/me").json()
    assert (me["company_guid"], me["scopes"]) == (made["company_guid"], "sync:read sync:write")


def test_run_again_it_adds_and_changes_nothing(manage: Manage, api: Api) -> None:
    first = seed(manage, "--pieces", PIECES)
    rows, users = all_rows(), User.objects.count()
    again = seed(manage, "--pieces", PIECES)
    assert all_rows() == rows
    assert not SyncRun.across_companies.filter(received=0).exists()
    assert (User.objects.count(), Company.objects.count()) == (users, 1)
    assert again["deletions"] == 0
    assert {name: again[name] for name in COUNTS[:4]} == {name: first[name] for name in COUNTS[:4]}
    assert api.with_key(str(first["key"])).get("/api/v1/auth/me").status_code == 401
    assert api.with_key(str(again["key"])).get("/api/v1/auth/me").status_code == 200


def test_stopped_half_way_it_goes_on(manage: Manage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(7))

    def submit(*arguments: Any, **options: Any) -> submission.Run:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return submission.submit(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(seed_demo, "submit", submit)
        outcome = manage("seed_demo", "--pieces", PIECES, "--json")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err == "manage.py seed_demo: error: stopped; run it again to go on\n"
    assert 0 < there()["pieces"] < PIECES
    made = seed(manage, "--pieces", PIECES)
    whole = there()
    assert whole == {name: made[name] for name in COUNTS[:4]} | {"deletions": 9}


def test_orders_are_of_several_sizes(manage: Manage) -> None:
    seed(manage, "--pieces", 30)
    with every_company():
        sizes = Piece.all_objects.filter(assembly__isnull=False).values_list("project__code", "outer_length")
        assert len(set(sizes)) > 5


def test_one_piece_is_enough(manage: Manage) -> None:
    seed(manage, "--pieces", 1)
    assert there()["pieces"] == 1


def test_another_company_s_data_is_never_touched(manage: Manage) -> None:
    user = UserFactory.create(email="operator@sample-windows.ractory.example")
    complaint = manage("seed_demo").complaint
    assert complaint == "the address operator@sample-windows.ractory.example is taken"
    assert not Company.objects.filter(name="Sample Windows").exists()
    user.delete()
    CompanyFactory.create(name="Sample Windows")
    complaint = manage("seed_demo").complaint
    assert complaint == "there is a company 'Sample Windows' already, and it is no sample"
    assert set(there().values()) == {0}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        *((["--pieces", text], f"not a number from 1 to 10000000: {text!r}") for text in ("0", "x", "1e3", "10000001")),
        (["--pieces=-1"], "not a number from 1 to 10000000: '-1'"),
        (["5000"], "unrecognized arguments: 5000"),
    ],
)
def test_a_bad_argument_is_one_clear_line(manage: Manage, arguments: list[str], complaint: str) -> None:
    assert manage("seed_demo", *arguments).complaint.endswith(complaint)
    assert not Company.objects.exists()


def test_a_person_gets_lines_and_a_terminal_progress(manage: Manage, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = manage("seed_demo", "--pieces", 50)
    assert (quiet.code, quiet.err) == (0, "")
    assert ["pieces", "50"] in [line.split() for line in quiet.out.splitlines()]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "/50" in manage("seed_demo", "--pieces", 50).err


def test_every_scalar_field_of_a_piece_has_a_value_that_the_schema_takes() -> None:
    made = order(uuid.uuid4(), "P", 200)
    scalars = {
        field.attname for field in Piece.settable_fields() if isinstance(field, models.CharField | models.IntegerField)
    }
    for piece in made["pieces"]:
        assert {name for name in scalars if piece.get(name) in (None, "")} == set()
    for plural, items in made.items():
        [model] = [level for level in LEVELS if level.plural == plural]
        assert items
        assert not parse_body(model, orjson.dumps({plural: items}), strict=True).fault_count
    barcodes = [piece["barcode"] for piece in made["pieces"]]
    assert len(set(barcodes)) == len(barcodes) == 200


def test_equal_names_make_equal_orders() -> None:
    company = uuid.uuid4()
    one, same, other = (order(company, code, 30) for code in ("P1", "P1", "P2"))
    assert one == same
    assert one["pieces"] != other["pieces"]
    assert {item["guid"] for item in one["pieces"]}.isdisjoint(item["guid"] for item in other["pieces"])


def test_the_check_digit_is_that_of_the_standard() -> None:
    """GS1 General Specifications, 7.9."""
    for piece in order(uuid.uuid4(), "P", 20)["pieces"]:
        assert len(piece["barcode"]) == 13
        assert sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(piece["barcode"])) % 10 == 0
