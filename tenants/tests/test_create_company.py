"""`manage.py create_company` (contract, "manage.py")."""

import uuid

import pytest

from tenants.models import Company
from tenants.tests.commands import Manage

pytestmark = pytest.mark.django_db


def test_it_prints_one_json_object(manage: Manage) -> None:
    answer = manage("create_company", "Fenster & Söhne", "--json").json
    assert answer.keys() == {"guid", "name"}
    assert answer["name"] == Company.objects.get(guid=answer["guid"]).name == "Fenster & Söhne"


def test_it_prints_lines_for_a_person(manage: Manage) -> None:
    outcome = manage("create_company", "Windows Ltd")
    company = Company.objects.get()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [f"guid  {company.guid}", "name  Windows Ltd"]


def test_the_guid_may_be_given(manage: Manage) -> None:
    given = uuid.uuid4()
    assert manage("create_company", "Windows Ltd", "--guid", given, "--json").json["guid"] == str(given)
    assert Company.objects.get().guid == given


def test_a_new_guid_is_a_uuidv7(manage: Manage) -> None:
    assert uuid.UUID(manage("create_company", "Windows Ltd", "--json").json["guid"]).version == 7


def test_a_guid_that_is_taken_is_refused(manage: Manage, company: Company) -> None:
    assert manage("create_company", "Another", "--guid", company.guid).complaint == (
        "guid: Company with this Guid already exists."
    )
    assert Company.objects.get().name == company.name


def test_a_name_that_is_taken_is_refused(manage: Manage, company: Company) -> None:
    assert manage("create_company", company.name).complaint == "name: There is another company of this name."
    assert Company.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: NAME"),
        (["X", "--guid", "5"], "argument --guid: not a UUID: '5'"),
        ([""], "name: This field cannot be blank."),
        (["   "], "name: This field cannot be blank."),
        (["x" * 256], "name: Ensure this value has at most 255 characters (it has 256)."),
        (["a\0b"], "argument NAME: not plain text: 'a\\x00b'"),
        (["a\nb"], "argument NAME: not plain text: 'a\\nb'"),
        (["\udcff"], "argument NAME: not plain text: '\\udcff'"),
        (["X", "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_a_bad_argument_is_one_clear_line(manage: Manage, arguments: list[str], complaint: str) -> None:
    assert manage("create_company", *arguments).complaint == complaint
    assert not Company.objects.exists()
