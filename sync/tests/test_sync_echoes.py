"""What of a client's comes back and is kept is cut to 100 characters, and no key or token is in it."""

import gzip
from urllib.parse import unquote

import orjson
import pytest

from pieces.models import Component
from pieces.receipts import MAX_ERRORS, MAX_IGNORED, SyncRun
from ractory.api.tests.client import Api
from sync.tests.batches import Sync, piece_item
from sync.tests.test_sync_runs import RUNS, receipt
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import UserFactory, issue_key

PIECES = "/api/v1/sync/pieces"
LONG = "x" * 5000
KEY = f"rfk_{'k' * 36}"
TOKEN = f"eyJ{'a' * 40}.{'b' * 60}.{'c' * 40}"


def test_a_name_of_30_mb_is_kept_and_told_with_100_characters(sync: Sync, component: Component) -> None:
    item = piece_item(component)
    body = b'{"pieces": [%b], "%b": 1}' % (orjson.dumps(item), b"x" * 30_000_000)
    response = sync.api.post_raw(PIECES, gzip.compress(body), content_encoding="gzip")
    assert (response.status_code, response["X-Ignored-Fields"]) == (200, "x" * 100)
    assert receipt(sync, response)["ignored_fields"] == ["x" * 100]


@pytest.mark.parametrize("strict", [True, False])
def test_names_and_values_are_cut_wherever_they_come_back(sync: Sync, component: Component, strict: bool) -> None:
    wrong = {"outer_length": LONG, "guid": LONG, "due": LONG, f"a{LONG}": 1, "picture": LONG + "%", "is_active": LONG}
    item = piece_item(component) | {"component_guid": LONG, "cell": LONG} | wrong
    response = sync("pieces", item, prefer="handling=strict" if strict else "", query=f"?{LONG}=1&match={LONG}")
    assert response.status_code == 422
    for answer in (response.content, sync.api.get(f"{RUNS}/{response['X-Sync-Run']}").content):
        assert b"x" * 90 in answer
        assert b"x" * 101 not in answer


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/api/v1/sync/runs/{LONG}", {}),
        (f"/api/v1/pieces/{LONG}", {}),
        (f"/api/v1/pieces?company_guid={LONG}&ordering={LONG}&limit={LONG}&updated_since={LONG}&cursor={LONG}", {}),
        (f"/api/v1/sync/runs?company_guid={LONG}&entity={LONG}&since={LONG}", {}),
        (PIECES, {"content_encoding": LONG}),
        (PIECES, {"content_type": f"text/{LONG}"}),
        (PIECES, {"idempotency_key": LONG}),
        (f"{PIECES}?dry_run={LONG}&company_guid={LONG}", {}),
    ],
)
def test_a_refusal_repeats_no_more_than_100_characters(api: Api, key: str, path: str, headers: dict[str, str]) -> None:
    api.with_key(key)
    answer = api.post_raw(path, b'{"pieces": []}', **headers) if path.startswith(PIECES) else api.get(path)
    assert answer.status_code in (400, 404, 415, 422)
    assert b"x" * 101 not in answer.content


def test_an_idempotency_key_that_was_used_is_repeated_in_part(sync: Sync, component: Component) -> None:
    for number in (1, 2):
        answer = sync("pieces", piece_item(component, piece_id=str(number)), idempotency_key="x" * 255)
    assert answer.status_code == 422
    assert b"x" * 101 not in answer.content


@pytest.mark.parametrize("secret", [KEY, TOKEN])
@pytest.mark.parametrize("strict", [True, False])
def test_a_secret_is_no_field_s_name_anywhere(sync: Sync, component: Component, secret: str, strict: bool) -> None:
    prefer = "handling=strict" if strict else ""
    response = sync("pieces", piece_item(component) | {secret: 1, f"my {secret}!": 1}, prefer=prefer)
    assert response.status_code == (422 if strict else 200)
    run = sync.api.get(f"{RUNS}/{response['X-Sync-Run']}").content
    kept = repr(SyncRun.across_companies.values_list("ignored_json", "errors_json").get())
    header = unquote(response.get("X-Ignored-Fields", ""))
    for said in (response.content.decode(), header, run.decode(), kept):
        assert secret[4:30] not in said
    assert "[secret]" in run.decode()


@pytest.mark.parametrize("char", ["x", "\x01", "😀", '"'])
def test_the_largest_receipt_that_a_client_can_get_fits(sync: Sync, component: Component, char: str) -> None:
    items = [
        {f"{n:03}{char * 400}": 1, "piece_id": char * 300, "cell": char * 300, "bar_rest": char} for n in range(1000)
    ]
    response = sync("pieces", *items, prefer="handling=strict")
    run = SyncRun.across_companies.get(guid=response["X-Sync-Run"])
    assert len(run.errors_json) < min(MAX_ERRORS, 100_000)
    assert len(run.ignored_json) < MAX_IGNORED
    assert run.fault_count == 1000 * 7
    lenient = sync("pieces", *[piece_item(component, piece_id=str(n)) | items[n] for n in range(1)])
    assert lenient.status_code == 422


def test_the_header_holds_whole_names_and_at_most_4000_characters(sync: Sync, component: Component) -> None:
    response = sync("pieces", piece_item(component) | {f"{n:03}{'ü' * 200}": n for n in range(100)})
    header = response["X-Ignored-Fields"]
    assert 3000 < len(header) <= 4000
    assert [unquote(name) for name in header.split(", ")] == [
        f"{n:03}{'ü' * 97}" for n in range(len(header.split(", ")))
    ]


def test_a_foreign_company_is_named_and_nothing_else(sync: Sync, api: Api, other_company: Company) -> None:
    answer = sync("pieces", query=f"?company_guid={other_company.guid}&x={LONG}")
    assert (answer.status_code, len(answer.content) < 200) == (403, True)
    api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))
    assert b"x" * 101 not in Sync(api)("pieces", query=f"?company_guid={LONG}").content
    assert issue_key(other_company) not in answer.content.decode()
