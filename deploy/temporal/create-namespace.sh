#!/bin/sh
# Makes the namespace and its search attributes. Running it again does nothing. TEMPORAL_ADDRESS and
# TEMPORAL_NAMESPACE say where; the CLI reads both by itself.
set -eu

# A new namespace is known to every part of the server only after some seconds.
attempt() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 30 ]; then
      echo "gave up after $tries tries: $*" >&2
      exit 1
    fi
    sleep 2
  done
}

attempt temporal operator cluster health
if ! temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  # How long a finished booking can be looked at in the web UI. Its record in the database stays.
  attempt temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention 7d
fi
attempt temporal operator search-attribute list >/dev/null

search_attribute() {
  if ! temporal operator search-attribute list | grep -qw "$1"; then
    attempt temporal operator search-attribute create --name "$1" --type "$2"
  fi
}

search_attribute BookingStatus Keyword
search_attribute OfferingIds KeywordList
search_attribute Gateway Keyword
search_attribute NeedsAttention Bool
search_attribute BookingId Keyword
