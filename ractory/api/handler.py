"""The WSGI handler: Django's, with a request that can be made of whatever comes, and is read to its end."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError

from ractory.api.body import chunks


class TolerantRequest(WSGIRequest):
    """A `Content-Type` that can't be read is none, and the charset in it is not that of the query, which is UTF-8.

    Django's own request decodes the query by it. Where that fails (`charset=base64`; a name that is no codec in an
    RFC 2231 parameter; more parameters than are allowed) it fails before any middleware: with a bare 500.
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    request_class = TolerantRequest

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Reads the rest of the body, too: closed on too early, clients see a broken connection, not the answer."""
        response = super().get_response(request)
        with suppress(ParseError):
            for _ in chunks(request, 2 * settings.MAX_BODY_BYTES):
                pass
        return response
