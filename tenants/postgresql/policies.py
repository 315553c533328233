"""Row-level security: which tables have rows of companies, the policy that each must have, and which lacks it."""

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

SETTING = "ractory.company"  # a company's guid, "*" for every company, "" or unset for none
POLICY = "company"

SCOPED_COMPANY = f"nullif(nullif(current_setting('{SETTING}', true), ''), '*')::uuid"  # null for none and for every one
# Each sub-select is evaluated once per statement. CASE, so that a guid is never looked for in "*", and because the
# planner takes it for true half the time whatever the number of companies: with OR, it would expect next to no rows.
CONDITION = f"""CASE WHEN (SELECT current_setting('{SETTING}', true) = '*') THEN true
    ELSE {{column}} = (SELECT {SCOPED_COMPANY}) END"""
# Of what belongs to users and names no company: looked at only while nobody knows yet whose it is.
UNSCOPED = f"(SELECT current_setting('{SETTING}', true) = '*')"


def tenant_tables() -> list[str]:
    """The tables with rows of companies or of their users, by name: derived from the models."""
    owners = {apps.get_model("tenants", name) for name in ("Company", "User")}
    models = apps.get_models(include_auto_created=True)
    return sorted(
        model._meta.db_table
        for model in models
        if model in owners or any(field.related_model in owners for field in model._meta.local_fields)
    )


def protect(table: str, column: str | None) -> list[str]:
    """The statements that put the table behind the wall; its owner too."""
    condition = CONDITION.format(column=column) if column else UNSCOPED
    return [
        f'CREATE POLICY {POLICY} ON "{table}" USING ({condition})',  # and WITH CHECK the same, which is the default
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
    ]


def expose(table: str) -> list[str]:
    return [
        f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY',
        f'DROP POLICY {POLICY} ON "{table}"',
    ]


# One permissive policy, for every command and role, with our setting in its one condition: another would open a door.
UNPROTECTED = """
    SELECT relname FROM pg_class
    WHERE oid = ANY(SELECT to_regclass(quote_ident(name)) FROM unnest(%s::text[]) AS name)
    AND NOT (relrowsecurity AND relforcerowsecurity AND (
        SELECT count(*) = 1 AND bool_and(
            polcmd = '*' AND polroles = '{0}' AND polwithcheck IS NULL
            AND pg_get_expr(polqual, polrelid) LIKE '%%' || %s || '%%'
        ) FROM pg_policy WHERE polrelid = pg_class.oid AND polpermissive
    ))
    ORDER BY relname
"""


def unprotected(connection: BaseDatabaseWrapper) -> list[str]:
    """Those tenant tables, of the ones that are there, that have not just our policy, or are not forced to heed it."""
    return [name for (name,) in connection.cursor().execute(UNPROTECTED, [tenant_tables(), SETTING])]
