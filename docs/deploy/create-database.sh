#!/bin/sh
# Run once by PostgreSQL's image, when its data directory is new: the role that the server uses, and its database.
# The role is no superuser: row-level security would not hold for one.
set -eu
RACTORY_PASSWORD="$(cat "$RACTORY_PASSWORD_FILE")"
psql --set=ON_ERROR_STOP=1 --set=password="$RACTORY_PASSWORD" --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
CREATE ROLE ractory LOGIN PASSWORD :'password' NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE DATABASE ractory OWNER ractory;
REVOKE ALL ON DATABASE ractory FROM PUBLIC;
SQL
