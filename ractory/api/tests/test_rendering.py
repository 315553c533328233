"""How an answer becomes bytes."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from ractory.api.rendering import JsonRenderer, to_json
from ractory.api.tests.client import Api


def test_datetimes_are_utc_with_z() -> None:
    noon = datetime(2026, 1, 2, 12, 0, 0, 5000, tzinfo=UTC)
    assert to_json(noon) == b'"2026-01-02T12:00:00.005000Z"'
    assert to_json(noon.replace(microsecond=0)) == b'"2026-01-02T12:00:00Z"'


def test_uuids_bytes_and_text_have_one_form() -> None:
    guid = uuid.uuid4()
    assert json.loads(to_json({"guid": guid, "picture": b"\xff\x00", "view": memoryview(b"a"), "text": "Söhne"})) == {
        "guid": str(guid),
        "picture": "/wA=",
        "view": "YQ==",
        "text": "Söhne",
    }


def test_what_has_no_form_is_an_error() -> None:
    with pytest.raises(TypeError):
        to_json({"set": {1}})


def test_no_data_is_no_bytes() -> None:
    assert JsonRenderer().render(None) == b""


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "", "nonsense", "application/json; q=0"])
def test_the_answer_is_json_whatever_is_accepted(api: Api, accept: str) -> None:
    response = api.get("/api/v1/auth/me", headers={"Accept": accept})
    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["detail"]
