"""What is amiss around a server: `manage.py check --deploy` and a server's start warn of it."""

import os
import shutil
import tempfile
import time
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.db import Error, connections

FULL, SKEW, RESERVED = 0.9, 2.0, 3  # of a file system; seconds; PostgreSQL's connections for superusers
ASKED = "SELECT extract(epoch FROM clock_timestamp())::float, current_setting('max_connections')"


@register(deploy=True)
def check_surroundings(**kwargs: Any) -> list[CheckMessage]:
    """A database that is away is no warning: it may come."""
    found: list[CheckMessage] = []
    folders = {tempfile.gettempdir()}
    for alias in connections:
        connection = connections[alias]
        name = str(connection.settings_dict["NAME"])
        if connection.vendor == "sqlite" and os.path.isabs(name):
            folders.add(os.path.dirname(name))
        if connection.vendor != "postgresql":
            continue
        try:
            cursor, before = connection.cursor(), time.time()
            now, most = cursor.execute(ASKED).fetchone()
        except Error:
            continue
        if not before - SKEW < now < time.time() + SKEW:
            off = f"{abs(now - before):.0f} seconds {'ahead of' if now > before else 'behind'} this host's"
            found.append(Warning(f"The clock of the database {alias!r} is {off}: both need NTP.", id="ractory.W001"))
        if int(most) < (needed := settings.WORKERS * settings.THREADS + RESERVED):
            said = f"max_connections of the database {alias!r} is {most}; this host alone may need {needed}."
            found.append(Warning(said, id="ractory.W002"))
    for folder in filter(os.path.isdir, sorted(folders)):
        usage = shutil.disk_usage(folder)
        if (share := usage.used / usage.total) > FULL:
            found.append(Warning(f"The file system of {folder} is {share:.0%} full.", id="ractory.W003"))
    return found
