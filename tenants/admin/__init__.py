"""The staff's pages about who: companies, users, keys; and what all staff pages share.

The admin of keys is registered by sync.admin, which adds the last sync of each.
"""

from tenants.admin import companies, users

__all__ = ("companies", "users")
