"""The staff's pages about who: companies, users, keys; and what all staff pages share."""

from tenants.admin import companies, keys, users

__all__ = ("companies", "keys", "users")
