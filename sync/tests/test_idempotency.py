"""`Idempotency-Key`: a request that is sent again gets its first answer, and nothing is written twice."""

import gzip
import uuid
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import transaction
from django.utils import timezone

from pieces.models import Component, Piece
from pieces.tests.factories import ComponentFactory
from ractory.api.errors import ConflictRetry
from ractory.api.tests.client import Api
from ractory.api.tests.threads import at_once
from sync.idempotency import KEPT, IdempotencyClaim
from sync.models import IdempotentAnswer, SyncRun
from sync.tests.batches import Sync, all_rows, faults, full_piece, piece_item, row_of
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

KEY = {"idempotency_key": "order-4711/batch-1"}


def test_a_repeated_request_gets_the_first_answer_byte_for_byte(sync: Sync, component: Component) -> None:
    batch = [piece_item(component, colour=1), piece_item(component, piece_id="2")]
    first = sync("pieces", *batch, prefer="return=representation", **KEY)
    before = all_rows()
    second = sync("pieces", *batch, prefer="return=representation", **KEY)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert ("Idempotent-Replayed" in first, second["Idempotent-Replayed"]) == (False, "true")
    for header in ("X-Sync-Run", "X-Ignored-Fields", "Preference-Applied", "Content-Type"):
        assert second[header] == first[header]
    assert all_rows() == before


def test_without_a_key_the_same_request_is_another_one(sync: Sync, component: Component) -> None:
    assert sync("pieces", piece_item(component)).status_code == 200
    assert faults(sync("pieces", piece_item(component))) == [("pieces", 0, "piece_id")]


@pytest.mark.parametrize("again", ["body", "path", "query"])
def test_another_request_under_the_key_is_422(sync: Sync, component: Component, again: str) -> None:
    item = full_piece(component)
    sync("pieces", item, **KEY)
    before = all_rows()
    if again == "body":
        response = sync("pieces", item | {"cell": "other"}, **KEY)
    elif again == "path":
        response = sync("projects", **KEY)
    else:
        response = sync("pieces", item, query="?match=piece_id", **KEY)
    assert [fault["type"] for fault in response.json()["detail"]] == ["idempotency_key_reused"]
    assert response.status_code == 422
    assert all_rows() == before


def test_an_option_that_says_nothing_new_is_the_same_request(sync: Sync, component: Component) -> None:
    sync("pieces", full_piece(component), **KEY)
    assert "Idempotent-Replayed" in sync("pieces", full_piece(component), query="?dry_run=false", **KEY)


def test_a_key_is_its_callers_own(sync: Sync, component: Component, company: Company) -> None:
    sync("pieces", full_piece(component), **KEY)
    colleague = Sync(Api().with_key(issue_key(company)))
    assert "Idempotent-Replayed" not in colleague("pieces", full_piece(component), **KEY)
    user = Sync(Api().with_user(UserFactory.create(role=Role.INTEGRATION, company=company)))
    assert user("pieces", full_piece(component, 2), **KEY).json() == {"inserted": 1, "updated": 0}


def test_a_refused_batch_may_be_mended_and_sent_again_under_its_key(sync: Sync, component: Component) -> None:
    assert faults(sync("pieces", piece_item(component, bar_rest="x"), **KEY))
    assert faults(sync("pieces", piece_item(component, project_guid=uuid.uuid4()), **KEY))
    response = sync("pieces", piece_item(component, bar_rest=1), **KEY)
    assert (response.json(), "Idempotent-Replayed" in response) == ({"inserted": 1, "updated": 0}, False)


def test_a_key_is_free_again_after_24_hours(sync: Sync, component: Component) -> None:
    sync("pieces", full_piece(component), **KEY)
    IdempotentAnswer.objects.update(created_at=timezone.now() - KEPT + timedelta(minutes=1))
    assert "Idempotent-Replayed" in sync("pieces", full_piece(component), **KEY)
    IdempotentAnswer.objects.update(created_at=timezone.now() - KEPT - timedelta(minutes=1))
    response = sync("pieces", full_piece(component, cell="new"), **KEY)
    assert (response.json(), "Idempotent-Replayed" in response) == ({"inserted": 0, "updated": 1}, False)
    assert IdempotentAnswer.objects.count() == 1


def test_a_dry_run_neither_takes_a_key_nor_gets_a_kept_answer(sync: Sync, component: Component) -> None:
    item = full_piece(component)
    assert sync("pieces", item, query="?dry_run=true", **KEY).json()["dry_run"] is True
    assert sync("pieces", item, **KEY).json() == {"inserted": 1, "updated": 0}
    assert sync("pieces", item, query="?dry_run=true", **KEY).json() == {"inserted": 0, "updated": 1, "dry_run": True}


@pytest.mark.parametrize("text", ["", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_400(sync: Sync, component: Component, text: str) -> None:
    assert sync("pieces", piece_item(component), idempotency_key=text).status_code == 400


def test_what_is_wrong_with_the_body_comes_before_a_bad_key(
    sync: Sync, component: Component, other_company: Company
) -> None:
    bad = {"idempotency_key": "x" * 256}
    assert sync("pieces", piece_item(component, outer_length="x"), **bad).status_code == 422
    assert sync("pieces", piece_item(component, company_guid=other_company.guid), **bad).status_code == 403
    assert sync("pieces", piece_item(component, assembly_guid=uuid.uuid4()), **bad).status_code == 400


def test_an_api_key_is_no_idempotency_key(sync: Sync, component: Component, key: str) -> None:
    """It would be stored, and shown in the receipt."""
    answer = sync("pieces", piece_item(component), idempotency_key=f"batch {key}")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "An Idempotency-Key must not be an API key or a token."}
    assert SyncRun.across_companies.get().idempotency_key != f"batch {key}"


def test_the_longest_key_is_taken(sync: Sync, component: Component) -> None:
    assert sync("pieces", piece_item(component), idempotency_key="ü" * 255).status_code == 200


def test_a_gzipped_repeat_is_the_same_request(api: Api, key: str, component: Component) -> None:
    body = orjson.dumps({"pieces": [piece_item(component)]})
    api.with_key(key)
    api.post_raw("/api/v1/sync/pieces", body, **KEY)
    again = api.post_raw("/api/v1/sync/pieces/", gzip.compress(body), content_encoding="gzip", **KEY)
    assert again["Idempotent-Replayed"] == "true"


def test_a_failure_after_the_work_leaves_neither_data_nor_claim(
    sync: Sync, component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt  # as unexpected as a crash

    before = all_rows()
    with monkeypatch.context() as patch:
        patch.setattr(IdempotencyClaim, "keep", crash)
        with pytest.raises(KeyboardInterrupt):
            sync("pieces", full_piece(component), **KEY)
    assert all_rows() == before
    assert (IdempotentAnswer.objects.count(), SyncRun.across_companies.count()) == (0, 0)
    assert sync("pieces", full_piece(component), **KEY).json() == {"inserted": 1, "updated": 0}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_first_requests_at_once_write_once() -> None:
    for number in range(10):
        component = ComponentFactory.create()
        text = issue_key(component.company)
        items = [piece_item(component, piece_id=str(n)) for n in range(50)]  # without guids: twice would be doubled

        def post(text: str = text, items: Any = items, number: int = number) -> Any:
            return Sync(Api().with_key(text))("pieces", *items, idempotency_key=str(number))

        responses = at_once(post, post, post)
        assert {response.status_code for response in responses} <= {200, 409}
        assert len({response.content for response in responses if response.status_code == 200}) == 1
        assert all(response["Retry-After"] == "1" for response in responses if response.status_code == 409)
        assert Piece.across_companies.filter(component=component).count() == 50


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_at_work_the_second_gets_409() -> None:
    claim = IdempotencyClaim(uuid.uuid4(), None, "key", b"", shown=lambda run: pytest.fail("it is not answered"))

    def second() -> Any:
        with transaction.atomic(), pytest.raises(ConflictRetry) as raised:
            claim.take()
        return raised.value

    with transaction.atomic():
        claim.take()
        [error] = at_once(second)
    assert (error.status_code, error.wait) == (409, 1)
    with transaction.atomic():
        claim.take()


def test_the_row_of_a_replayed_insert_is_the_first_ones(sync: Sync, component: Component) -> None:
    batch = [piece_item(component)]
    first = sync("pieces", *batch, prefer="return=representation", **KEY).json()["items"][0]["guid"]
    second = sync("pieces", *batch, prefer="return=representation", **KEY).json()["items"][0]["guid"]
    assert first == second == str(row_of("piece", first).guid)
