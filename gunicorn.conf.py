"""How gunicorn serves Ractory: `gunicorn ractory.wsgi`, in this directory, finds it by itself (docs/operations.md).

Command line and GUNICORN_CMD_ARGS go before what is said here. PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS are
gunicorn's own variables.
"""

import json
import os
import signal
import socket
from http import HTTPStatus

from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from prometheus_client.multiprocess import mark_process_dead
from uuid_utils.compat import uuid7

from ractory.api import probes, worker_metrics
from ractory.api.gunicorn_worker import Worker
from ractory.settings import THREADS, WORKERS, read
from ractory.variables import number, seconds

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")

# Imported once, before the workers are forked: they share its memory, and a wrong setting ends the start at once.
preload_app = True
workers = WORKERS
read("PORT", number(1, 65535), "8000")  # gunicorn takes it by itself, but would not name it
HEALTH_PORT = read("HEALTH_PORT", number(0, 65535), "0")
DRAIN_SECONDS = read("DRAIN_SECONDS", seconds, "0")

# A thread is held for as long as a client takes to send its request and to read the answer: a proxy that buffers both
# must stand in front (docs/decisions/0017-slow-clients.md). What a sync does is mostly computing: the second thread is
# for the times when the first one waits for the database. Each may hold a connection to it.
worker_class = Worker  # gthread
threads = THREADS
worker_connections = 400  # kept-alive ones included: below the usual limit of 1024 descriptors

# Seconds without a sign of life from a worker's main loop, after which it is killed. Threads do not hold that loop up,
# so it is no limit for requests: STATEMENT_TIMEOUT is one for each of their statements.
timeout = 30
graceful_timeout = 35  # after SIGTERM what runs may end
keepalive = 75  # longer than a proxy keeps an idle connection: it is not closed under a request
# A worker is replaced now and then, whatever it may have leaked; not all at once.
max_requests, max_requests_jitter = 20_000, 2_000

limit_request_line = 8190  # a `next` link carries a cursor with the values of a row
limit_request_fields = 64
forwarder_headers = ""  # SCRIPT_NAME, say: gunicorn would take it from any client of a proxy on this host

# A worker's sign of life and the metrics are files that need no disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # memory; gunicorn makes the file safely
worker_metrics.share_metrics(worker_tmp_dir)

control_socket_disable = True  # nobody asks there, and several servers of one user would share it

access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)s ms'  # if --access-logfile is given: no query string


class logger_class(Logger):  # gunicorn's name
    """gunicorn's own lines in the format of the application's."""

    def setup(self, cfg: Config) -> None:
        from django.conf import settings
        from django.utils.module_loading import import_string

        super().setup(cfg)
        formatter = import_string(settings.LOGGING["formatters"][settings.LOG_FORMAT]["()"])()
        for handler in [*self.error_log.handlers, *self.access_log.handlers]:
            handler.setFormatter(formatter)


def refuse(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:  # gunicorn's names
    """What gunicorn refuses before Ractory sees it, in the form of the API, and without what was sent (`mesg`)."""
    body = json.dumps({"detail": f"{reason}."}).encode()
    status = 400 if status_int == HTTPStatus.NOT_IMPLEMENTED else status_int  # a transfer coding: the client's fault
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: {uuid7()}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode() + body)


util.write_error = refuse  # a page of HTML that repeats kilobytes of what was sent; there is no setting for it


def on_starting(server: Arbiter) -> None:
    if HEALTH_PORT:
        server.probes = probes.listen(HEALTH_PORT)


def when_ready(server: Arbiter) -> None:
    """Until DRAIN_SECONDS after SIGTERM `/api/v1/health` is a 503 and all else as before: whatever sends requests by it
    has stopped to when the server stops. A second SIGTERM does not wait."""

    def stop(*args: object) -> None:
        signal.signal(signal.SIGTERM, server.signal)
        server.signal(signal.SIGTERM, None)

    def drain(*args: object) -> None:
        probes.draining[0] = 1
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(DRAIN_SECONDS)

    if DRAIN_SECONDS:
        signal.signal(signal.SIGTERM, drain)


def pre_fork(server: Arbiter, worker: Worker) -> None:
    from django.db import connections

    connections.close_all()  # two processes on one connection would read each other's answers
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = min(set(range(len(taken) + 1)) - taken)


def post_fork(server: Arbiter, worker: Worker) -> None:
    worker_metrics.slot = worker.slot
    if HEALTH_PORT:
        probes.serve(server.probes, server.app.wsgi())


def child_exit(server: Arbiter, worker: Worker) -> None:
    from ractory.api.metrics import WORKERS_ENDED

    mark_process_dead(worker.slot)  # what it was in the middle of does not go on
    WORKERS_ENDED.inc()
