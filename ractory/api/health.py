"""Is the server alive, and does it reach its database (contract, "Meta"). For probes: no credentials."""

from django.db import Error, connection
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ractory import __version__
from ractory.api.openapi.schemas import an_object, answer, named
from ractory.api.probes import draining

UNREACHED, LEAVING = "The database does not answer.", "The server is about to stop."
STATE = {"status": {"type": "string", "enum": ["ok", "unavailable"]}, "version": {"type": "string"}}
HEALTH = named("Health", an_object(STATE))
UNAVAILABLE = named("Unavailable", an_object({**STATE, "detail": {"type": "string"}}))


class LivenessView(APIView):
    """`GET /health`: the process answers. The database is not touched."""

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
    """`GET /api/v1/health`: the process reaches its database, too, and is to go on serving; 503 if not."""

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
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error:
            fault = fault or UNREACHED
        if fault:
            return Response({"status": "unavailable", "version": __version__, "detail": fault}, status=503)
        return super().get(request)
