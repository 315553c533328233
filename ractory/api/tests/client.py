"""The client that the tests of every app call the API with: JSON by default, as a key or as a user."""

from typing import Any, Self

from rest_framework.test import APIClient

from tenants.authentication import begin
from tenants.models import User


class Api(APIClient):
    default_format = "json"

    def with_key(self, text: str) -> Self:
        """From now on calls with this API key."""
        self.credentials(HTTP_X_API_KEY=text)
        return self

    def with_user(self, user: User) -> Self:
        """From now on calls as this user, with a JWT."""
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {begin(user)['access_token']}")
        return self

    def post_raw(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
        """Posts these very bytes; `headers` with underscores, as in `content_encoding="gzip"`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(path, body, content_type=content_type, headers=named)
