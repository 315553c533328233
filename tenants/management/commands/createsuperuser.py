from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from tenants.scope import every_company


class Command(createsuperuser.Command):
    """Django's own, for a user who is of no company."""

    @every_company()
    def execute(self, *args: Any, **options: Any) -> Any:
        return super().execute(*args, **options)
