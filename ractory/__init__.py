"""Ractory: a factory's production pieces, for many companies, synchronised in bulk."""

__version__ = "0.2.0"
# The oldest version that may serve on the schema that this one migrates to: raise it with a migration that breaks the
# code of before. A server that is older does not start (tenants.postgresql.guard).
OLDEST = "0.2.0"
