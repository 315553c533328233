"""What the tests of undo ask for and compare."""

import uuid
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from sync.tests.batches import Sync, all_rows

RUNS = "/api/v1/sync/runs"
NOT_PUT_BACK = {"updated_at", "deleted_at", "deletion_guid", "changed_in", "sent_digest", "digest"}
PICTURES = [b64encode(bytes([n]) * 100).decode() for n in range(3)]


def run_of(response: Any) -> str:
    assert response.status_code in (200, 204), response.content
    return str(response["X-Sync-Run"])


def undo(sync: Sync, run: Any, query: str = "") -> Any:
    return sync.api.post(f"{RUNS}/{run}/undo{query}")


def undone(sync: Sync, run: Any, query: str = "") -> dict[str, Any]:
    """What an undo that succeeds answers, but the guid of its run."""
    response = undo(sync, run, query)
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    assert answer.pop("run_guid") == response["X-Sync-Run"]
    return answer


def counts(*, changed: int = 0, deleted: int = 0, restored: int = 0, **more: Any) -> dict[str, Any]:
    return {"changed": changed, "deleted": deleted, "restored": restored, **more}


def content() -> dict[uuid.UUID, Mapping[str, Any]]:
    """Every row, but for what an undo does not put back."""
    return {
        row["guid"]: {name: value for name, value in row.items() if name not in NOT_PUT_BACK}
        for rows in all_rows().values()
        for row in rows
    }


def receipt(sync: Sync, run: Any) -> dict[str, Any]:
    answer = sync.api.get(f"{RUNS}/{run}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def conflicts(response: Any) -> list[tuple[str, str, str | None]]:
    assert response.status_code == 409, response.content
    return [(each["entity"], each["guid"], each["run_guid"]) for each in response.json()["conflicts"]]
