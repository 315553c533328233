from django.contrib.auth.management.commands import changepassword

from tenants.management.printing import OperatorCommand


class Command(OperatorCommand, changepassword.Command):
    """Django's own, for a user of any company."""
