#!/bin/sh
# Makes Temporal's two databases and brings their schema to the version of this image. Running it again does nothing;
# running it from a newer image upgrades, one minor version of Temporal at a time, before the server is replaced.
# The schema is the one embedded in the tool. Host, user and password come as SQL_* variables.
set -eu

setup() {
  temporal-sql-tool --db "$1" create-database
  temporal-sql-tool --db "$1" setup-schema -v 0.0
  temporal-sql-tool --db "$1" update-schema --schema-name "postgresql/v12/$2"
}

setup temporal temporal
setup temporal_visibility visibility
