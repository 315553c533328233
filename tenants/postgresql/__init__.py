"""The second wall between tenants: a database backend that tells PostgreSQL the scope, and policies that heed it."""
