"""Every path works with and without a trailing slash, without a redirect (contract, "Conventions")."""

import pytest

from ractory.api.tests.client import Api


@pytest.mark.parametrize("slash", ["", "/"])
def test_both_ways_reach_the_endpoint(api: Api, slash: str) -> None:
    assert api.get(f"/api/v1/auth/me{slash}").status_code == 401
    assert api.post(f"/api/v1/auth/login{slash}", {}).status_code == 422
    assert api.post(f"/api/v1/auth/login{slash}?a=b/", {}).status_code == 422


def test_the_admin_is_found_both_ways(api: Api) -> None:
    for path in ("/admin", "/admin/"):
        response = api.get(path)
        assert (response.status_code, response.headers["Location"]) == (302, f"/admin/login/?next={path}")
