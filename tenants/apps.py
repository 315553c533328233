from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Who: companies, users, API keys; authentication, permissions, the tenant scope."""

    name = "tenants"
