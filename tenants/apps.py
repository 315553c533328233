from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Who: companies, users, API keys; authentication, permissions, the tenant scope."""

    name = "tenants"

    def ready(self) -> None:
        from tenants.postgresql import guard  # noqa: F401  # registers a system check
