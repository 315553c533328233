"""`match=code`, and `if_updated_at`: which row an item means, and as whom its sender knows it (contract, "Sync")."""

import threading
import uuid
from typing import Any

import pytest
from django.db import connection

from pieces.models import Component, Project
from pieces.tests.factories import ComponentFactory, ProjectFactory
from ractory.api.tests.client import Api
from sync.tests.batches import Sync, actions, component_item, faults, piece_item, project_item
from tenants.models import Company
from tenants.scope import every_company

REPRESENTATION = "return=representation"


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.content
    return [fault["type"] for fault in answer.json()["detail"]]


@pytest.mark.django_db
class TestByCode:
    def test_a_project_is_matched_within_the_company_and_a_component_within_the_project(
        self, sync: Sync, company: Company, component: Component, other_company: Company
    ) -> None:
        ProjectFactory.create(company=other_company, code="X")
        item = project_item(company, code="X")
        assert actions(sync("projects", item, query="?match=code", prefer=REPRESENTATION)) == ["inserted"]
        assert actions(
            sync("projects", item | {"company_name": "new"}, query="?match=code", prefer=REPRESENTATION)
        ) == ["updated"]
        ComponentFactory.create(project=ProjectFactory.create(company=company), code="C")
        part = component_item(component.project, code="C")
        first = sync("components", part, query="?match=code", prefer=REPRESENTATION)
        again = sync("components", part, query="?match=code", prefer=REPRESENTATION)
        assert (actions(first), actions(again)) == (["inserted"], ["unchanged"])
        assert first.json()["items"][0]["guid"] == again.json()["items"][0]["guid"]

    def test_several_active_ones_are_ambiguous_and_deleted_ones_do_not_count(
        self, sync: Sync, company: Company
    ) -> None:
        twins = [ProjectFactory.create(company=company, code="X") for _ in range(2)]
        item = project_item(company, code="X")
        answer = sync("projects", project_item(company, code="Y"), item, query="?match=code")
        assert faults(answer) == [("projects", 1, "code")]
        assert codes(answer) == ["match_ambiguous"]
        assert codes(sync("projects", item | {"is_active": False}, query="?match=code")) == ["match_ambiguous"]
        sync("projects", item | {"guid": str(twins[0].guid), "is_active": False})
        done = sync("projects", item, query="?match=code", prefer=REPRESENTATION)
        assert done.json()["items"][0]["guid"] == str(twins[1].guid)

    def test_two_of_a_batch_with_one_code_are_a_fault(self, sync: Sync, company: Company) -> None:
        item = project_item(company, code="X")
        assert codes(sync("projects", item, item, query="?match=code")) == ["match_ambiguous"]
        sync("projects", item)
        assert codes(sync("projects", item, item, query="?match=code")) == ["guid_duplicate"]

    def test_a_tombstone_that_matches_nothing_is_unchanged(self, sync: Sync, company: Company) -> None:
        item = project_item(company, code="X", is_active=False)
        for more in ({}, {}, {"if_updated_at": "2026-01-01T00:00:00Z"}):
            answer = sync("projects", item | more, query="?match=code", prefer=REPRESENTATION)
            assert answer.json()["items"] == [{"index": 0, "guid": None, "action": "unchanged"}]
        sync("projects", project_item(company, code="X"))
        assert actions(sync("projects", item, query="?match=code", prefer=REPRESENTATION)) == ["deleted"]

    @pytest.mark.parametrize(
        ("plural", "match"), [("pieces", "code"), ("projects", "piece_id"), ("assemblies", "code"), ("assemblies", "")]
    )
    def test_what_can_not_be_matched(self, sync: Sync, plural: str, match: str) -> None:
        assert codes(sync(plural, query=f"?match={match}")) == ["match_unknown"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_at_once_insert_one(company: Company, key: str) -> None:
    barrier, answers = threading.Barrier(4), []

    def send() -> None:
        try:
            barrier.wait()
            answers.append(Sync(Api().with_key(key))("projects", project_item(company, code="X"), query="?match=code"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((answer.status_code, answer.json().get("inserted")) for answer in answers) == [(200, 0)] * 3 + [
        (200, 1)
    ]
    with every_company():
        assert Project.objects.filter(code="X").count() == 1


@pytest.mark.django_db
class TestIfUpdatedAt:
    @pytest.fixture
    def item(self, sync: Sync, component: Component) -> dict[str, Any]:
        item = piece_item(component, guid=str(uuid.uuid4()), cell="a")
        sync("pieces", item)
        return item

    def read(self, sync: Sync, item: dict[str, Any]) -> str:
        moment: str = sync.api.get(f"/api/v1/pieces/{item['guid']}").json()["updated_at"]
        return moment

    def test_as_it_was_read_it_is_written_and_the_second_time_it_is_not(self, sync: Sync, item: dict[str, Any]) -> None:
        expected = item | {"cell": "b", "if_updated_at": self.read(sync, item)}
        assert sync("pieces", expected).json() == {"inserted": 0, "updated": 1}
        for _ in range(2):
            answer = sync("pieces", expected)
            assert faults(answer) == [("pieces", 0, "if_updated_at")]
            assert codes(answer) == ["changed_meanwhile"]
        assert self.read(sync, item) in answer.json()["detail"][0]["msg"]

    def test_null_means_only_if_it_is_new(self, sync: Sync, item: dict[str, Any], component: Component) -> None:
        assert codes(sync("pieces", item | {"if_updated_at": None})) == ["changed_meanwhile"]
        fresh = piece_item(component, piece_id="2", guid=str(uuid.uuid4()), if_updated_at=None)
        assert sync("pieces", fresh).json() == {"inserted": 1, "updated": 0}
        sync("pieces", item | {"is_active": False})
        assert codes(sync("pieces", item | {"if_updated_at": None})) == ["changed_meanwhile"]

    def test_a_row_that_is_not_there(self, sync: Sync, component: Component) -> None:
        item = piece_item(component, guid=str(uuid.uuid4()), if_updated_at="2026-01-01T00:00:00Z")
        assert codes(sync("pieces", item)) == ["changed_meanwhile"]

    def test_each_item_has_its_own_and_another_offset_is_the_same_moment(
        self, sync: Sync, item: dict[str, Any], component: Component
    ) -> None:
        other = piece_item(component, piece_id="2", guid=str(uuid.uuid4()))
        sync("pieces", other)
        moment = self.read(sync, item).replace("Z", "+00:00")
        assert (
            sync("pieces", item | {"if_updated_at": moment, "trolley": "t"}, other | {"cell": "x"}).status_code == 200
        )
        answer = sync("pieces", item | {"if_updated_at": moment}, other | {"if_updated_at": self.read(sync, other)})
        assert faults(answer) == [("pieces", 0, "if_updated_at")]

    def test_with_a_match(self, sync: Sync, item: dict[str, Any], component: Component) -> None:
        unnamed = {name: value for name, value in item.items() if name != "guid"}
        answer = sync("pieces", unnamed | {"if_updated_at": None}, query="?match=piece_id")
        assert codes(answer) == ["changed_meanwhile"]
        done = sync("pieces", unnamed | {"if_updated_at": self.read(sync, item)}, query="?match=piece_id")
        assert done.json() == {"inserted": 0, "updated": 1}

    @pytest.mark.parametrize("value", ["yesterday", 5, True, [], "2026-01-01T00:00:00Z\0", "x" * 5000])
    def test_what_is_no_moment(self, sync: Sync, item: dict[str, Any], value: Any) -> None:
        assert faults(sync("pieces", item | {"if_updated_at": value})) == [("pieces", 0, "if_updated_at")]
