from django.contrib.auth.management.commands import createsuperuser

from tenants.management.printing import OperatorCommand


class Command(OperatorCommand, createsuperuser.Command):
    """Django's own, for a user who is of no company."""
