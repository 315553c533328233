"""How an answer becomes bytes: always JSON, by orjson, datetimes in UTC with `Z`."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import orjson
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


def to_json(data: object) -> bytes:
    """`data` as UTF-8 JSON: UUIDs and datetimes natively, bytes as base64. Raises TypeError for anything else."""
    return orjson.dumps(data, default=lambda value: b64encode(value).decode(), option=orjson.OPT_UTC_Z)


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Also takes the answer, which holds its context and its view, out of both of them: in such a cycle up to 8 MiB
        of pictures would stay until the garbage collector runs, which is seldom."""
        context = renderer_context or {}
        context.pop("response", None)
        if "view" in context:
            context["view"].response = None
        return b"" if data is None else to_json(data)


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever `Accept` says: an old client's odd header is no reason for a 406."""

    def select_renderer(self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None) -> Any:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
