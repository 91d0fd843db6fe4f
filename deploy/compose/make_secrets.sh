#!/usr/bin/env bash
# Draws the secrets that docker-compose.yml names; those that exist stay. The folder is closed to other users; the files in it
# are not, because the services run as a user of their own.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p -m 700 secrets
for name in postgres_password service_key admin_key; do
  [ -s "secrets/$name" ] || openssl rand -hex 32 >"secrets/$name"
  chmod 644 "secrets/$name"
done
echo "secrets: deploy/compose/secrets"
