"""Paths of the old server that this one does not have (docs/migrating.md)."""

import pytest

from ractory.api.tests.client import Api


@pytest.mark.parametrize("path", ["articles", "sync/articles", "workstations/x/", "workflow", "ui-templates/7"])
def test_a_path_that_only_the_old_server_had_says_so_and_names_the_page(api: Api, path: str) -> None:
    for answer in (api.get(f"/api/v1/{path}"), api.post(f"/api/v1/{path}", {})):
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("This server has no ")
        assert answer.json()["detail"].endswith(", which the old one had: see docs/migrating.md.")


def test_any_other_path_is_just_not_found(api: Api) -> None:
    assert api.get("/api/v1/articles-of-ours").json() == {"detail": "Not found."}
