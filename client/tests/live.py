"""The real server as a process, on the database of the tests that run."""

import os
from urllib.parse import urlsplit

from django.db import connection

from bench.faults.server import Server, environment


def live_server(*, workers: int, **more: str) -> Server:
    """For tests with `transactional_db`: what they commit it sees, and the other way round."""
    return Server(environment(database_url(), **more), workers=workers, application="ractory.wsgi")


def database_url() -> str:
    """The DATABASE_URL of the database that the tests run on."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
