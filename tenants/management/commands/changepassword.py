from typing import Any

from django.contrib.auth.management.commands import changepassword

from tenants.scope import every_company


class Command(changepassword.Command):
    """Django's own, for a user of any company."""

    @every_company()
    def execute(self, *args: Any, **options: Any) -> Any:
        return super().execute(*args, **options)
