"""The OpenAPI document and a page to browse it, for everyone (contract, "Meta")."""

from functools import cache

from django.http import HttpResponse
from django.urls import reverse_lazy
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ractory.api.rendering import JsonRenderer

RENDERERS = {renderer.media_type: renderer for renderer in (JsonRenderer(), OpenApiYamlRenderer2())}


@cache
def document(media_type: str) -> bytes:
    """The document. It is the same for everyone, so it is made once."""
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # partly typed
    return RENDERERS[media_type].render(schema)


class SchemaView(APIView):
    """`GET /api/schema`: YAML if `Accept` asks for it, else JSON."""

    schema = None
    authentication_classes = permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        media_type = request._request.get_preferred_type(list(RENDERERS)) or JsonRenderer.media_type
        return HttpResponse(document(media_type), content_type=media_type, headers={"Vary": "Accept"})


class DocsView(SpectacularSwaggerSplitView):
    """`GET /api/docs`: a page that needs nothing but this server, and no inline script (ractory.api.middleware)."""

    authentication_classes = ()
    # Else the script's address would repeat the query, and with it a misplaced key.
    url_self = reverse_lazy("docs")  # type: ignore[assignment]  # as good as a str
    metadata_class = None  # its answer to OPTIONS would be put into the template

    def handle_exception(self, exc: Exception) -> Response:
        """The page is HTML; an error is JSON, as everywhere."""
        self.request.accepted_renderer, self.request.accepted_media_type = JsonRenderer(), JsonRenderer.media_type
        response: Response = super().handle_exception(exc)
        return response
