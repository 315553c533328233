"""The WSGI entry point: `gunicorn ractory.wsgi`."""

import logging
import os
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")  # which some of the imports ask for

import django  # isort: split

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created
from django.urls import resolve

from ractory import garbage_collection
from ractory.api.body import Handler
from ractory.api.surroundings import check_surroundings
from ractory.api.timeouts import limit_statements
from tenants.postgresql.guard import guard_server

garbage_collection.run_seldom()
django.setup(set_prefix=False)
logging.captureWarnings(True)  # Python's own: lines of the log as any other
if settings.STATIC_ROOT and not (Path(settings.STATIC_ROOT) / "staticfiles.json").is_file():  # each page would be a 500
    raise ImproperlyConfigured(f"STATIC_ROOT={settings.STATIC_ROOT!r} holds no files: manage.py collectstatic")
application = Handler()
guard_server()
for warning in check_surroundings():
    logging.getLogger("ractory").warning("%s: %s", warning.id, warning.msg)
connection_created.connect(limit_statements)
resolve("/health")  # imports every view now, in the process that workers are forked from, not at their first request
garbage_collection.tune()
