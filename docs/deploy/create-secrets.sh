#!/bin/sh
# Makes the secrets that compose.yaml wants, in ./secrets, where there are none yet. Containers read these files as users
# of their own, so the folder is what keeps others out.
set -eu
mkdir -p secrets/tls
chmod 700 secrets
cd secrets
for name in secret_key ractory_password postgres_password metrics_token; do
    [ -s "$name" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$name"
done
[ -s database_url ] || printf 'postgres://ractory:%s@database:5432/ractory' "$(cat ractory_password)" > database_url
chmod 644 secret_key ractory_password postgres_password metrics_token database_url
