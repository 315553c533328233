"""What is for everyone: the health of the server, the OpenAPI document and a page to browse it (contract, "Meta")."""

from functools import cache

from django.db import Error, connection
from django.http import HttpResponse
from django.urls import reverse_lazy
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ractory import __version__
from ractory.api.openapi import an_object, answer, named
from ractory.api.probes import draining
from ractory.api.rendering import JsonRenderer, to_json

UNREACHED, LEAVING = "The database does not answer.", "The server is about to stop."
STATE = {"status": {"type": "string", "enum": ["ok", "unavailable"]}, "version": {"type": "string"}}
HEALTH = named("Health", an_object(STATE))
UNAVAILABLE = named("Unavailable", an_object({**STATE, "detail": {"type": "string"}}))


class LivenessView(APIView):
    authentication_classes = permission_classes = ()

    @extend_schema(
        operation_id="liveness",
        summary="Is the server alive?",
        description="Does not touch the database.",
        tags=["meta"],
        responses={200: answer("It is.", HEALTH)},
    )
    def get(self, request: Request) -> Response:
        return Response({"status": "ok", "version": __version__})


class HealthView(LivenessView):
    @extend_schema(
        operation_id="health",
        summary="Does the server reach its database?",
        tags=["meta"],
        responses={
            200: answer("It does.", HEALTH),
            503: answer("The database does not answer, or the server is about to stop.", UNAVAILABLE),
        },
    )
    def get(self, request: Request) -> Response:
        fault = LEAVING if draining[0] else ""
        try:
            connection.cursor().execute("SELECT 1")
        except Error:
            fault = fault or UNREACHED
        if fault:
            return Response({"status": "unavailable", "version": __version__, "detail": fault}, status=503)
        return super().get(request)


@cache
def document() -> bytes:
    """The document. It is the same for everyone, so it is made once."""
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # partly typed
    return to_json(schema)


class SchemaView(APIView):
    schema = None
    authentication_classes = permission_classes = ()

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(document(), content_type="application/json")


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
