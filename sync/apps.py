from django.apps import AppConfig


class SyncConfig(AppConfig):
    """How it gets in: schemas, planning, writing; the sync endpoints."""

    name = "sync"
