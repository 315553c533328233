#!/bin/sh
# A dump of the database into BACKUPS, readable by its owner only; those older than BACKUP_DAYS go. A dump appears under
# its name when it is complete. PGHOST, PGUSER and the rest are pg_dump's own.
set -eu
umask 077
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD="$(cat "$PGPASSWORD_FILE")"
    export PGPASSWORD
fi
name="$BACKUPS/ractory-$(date -u +%Y-%m-%dT%H%M%SZ).dump"
trap 'rm -f "$name.part"' EXIT
pg_dump --format=custom --file="$name.part" ractory
mv "$name.part" "$name"
find "$BACKUPS" -name 'ractory-*.dump' -mtime "+${BACKUP_DAYS:-14}" -delete
echo "$name"
