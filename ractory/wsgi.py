"""The WSGI entry point: `gunicorn ractory.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")

application = get_wsgi_application()
