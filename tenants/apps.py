from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Who: companies, users, API keys; authentication, permissions, the tenant scope."""

    name = "tenants"

    def ready(self) -> None:
        from ractory.api import surroundings  # noqa: F401  # these register system checks
        from tenants.postgresql import guard  # noqa: F401
