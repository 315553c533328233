from django.db import migrations

from tenants.postgresql.operations import ForceRowSecurity, NoteCompany

OBJECT = "CASE WHEN object_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN object_id::uuid END"


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0002_file_import'),
        ('admin', '0003_logentry_add_action_flag_choices'),
        ('pieces', '0005_row_level_security'),
    ]

    operations = [
        ForceRowSecurity('sync_syncrun'),
        ForceRowSecurity('sync_idempotentanswer'),
        ForceRowSecurity('sync_fileimport'),
        NoteCompany(
            'django_admin_log',
            # Of the rows that are there: whose the changed entity is, or else who changed it.
            f"SELECT company_guid FROM pieces_project WHERE guid = {OBJECT}",
            f"SELECT company_guid FROM pieces_component WHERE guid = {OBJECT}",
            f"SELECT company_guid FROM pieces_assembly WHERE guid = {OBJECT}",
            f"SELECT company_guid FROM pieces_piece WHERE guid = {OBJECT}",
            'SELECT company_guid FROM tenants_user WHERE guid = user_id',
        ),
        ForceRowSecurity('django_admin_log'),
    ]
