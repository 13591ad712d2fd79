#!/bin/sh
# Runs once, when PostgreSQL makes its data folder. Three roles, each with a password and no more rights than it needs:
# the application owns its database, reads use a role that is granted SELECT by `npm run migrate`, and Temporal makes
# and owns its two databases. The superuser's password is used by nobody.
set -eu

psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc \
  --set ON_ERROR_STOP=1 \
  --set application="$DATABASE_PASSWORD" \
  --set readonly="$DATABASE_READONLY_PASSWORD" \
  --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
create role payfirst login password :'application';
create role payfirst_readonly login password :'readonly';
create role temporal login createdb password :'temporal';
create database payfirst owner payfirst;
SQL
