"""Is the server alive, and does it reach its database (contract, "Meta"). For probes: no credentials."""

from django.db import Error, connection
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ractory import __version__
from ractory.api.openapi.health import HealthSchema, LivenessSchema


class LivenessView(APIView):
    """`GET /health`: the process answers. The database is not touched."""

    schema = LivenessSchema()
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return Response({"status": "ok", "version": __version__})


class HealthView(LivenessView):
    """`GET /api/v1/health`: the process reaches its database, too; 503 if not."""

    schema = HealthSchema()

    def get(self, request: Request) -> Response:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error:
            body = {"status": "unavailable", "version": __version__, "detail": "The database does not answer."}
            return Response(body, status=status.HTTP_503_SERVICE_UNAVAILABLE)
        return super().get(request)
