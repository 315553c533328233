"""The WSGI entry point: `gunicorn ractory.wsgi`."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import resolve

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")

application = get_wsgi_application()
resolve("/health")  # imports every view now, in the process that workers are forked from, not at their first request

# What has been imported stays for good. Left to the garbage collector, it would be walked through for 40 ms every few
# batches; and a batch's thousands of values, none of them in a cycle, would set it off a dozen times.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
