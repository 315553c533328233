"""A port of its own for probes (HEALTH_PORT): `/health` and `/api/v1/health`, answered by threads that do nothing else.
A dozen requests that wait for a lock take all that serve the usual port, and a healthy server would be restarted."""

import mmap
import socket
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.db import connections

# One byte that gunicorn's master shares with the workers, which are forked later. Once it is not 0, no worker is ready,
# whatever the database says; all go on serving.
draining = mmap.mmap(-1, 1)


def listen(port: int) -> socket.socket:
    """The socket that gunicorn's master hands on to its workers; another master may have one beside it (SIGUSR2)."""
    return socket.create_server(("", port), reuse_port=True)


class Handler(WSGIRequestHandler):
    timeout = 5  # seconds that a client may be silent

    def log_message(self, *args: Any) -> None:
        """The application has a log of its own."""


class Probes(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """A client that goes away in mid-request is no affair of the log."""


def serve(listener: socket.socket, application: Any) -> None:
    """Answers probes in this process from now on, by the WSGI application."""

    def probe(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].rstrip("/") not in ("/health", "/api/v1/health"):
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        try:
            return list(application(environ, start_response))
        finally:
            connections.close_all()  # they are this thread's, which ends

    server = Probes(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.base_environ = {"SERVER_NAME": "localhost", "SERVER_PORT": str(listener.getsockname()[1]), "SCRIPT_NAME": ""}
    server.set_app(probe)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
