#!/bin/sh
# Runs a command now and then once a day, until SIGTERM. A run that fails is said, and tried again the next day.
trap 'exit 0' TERM INT
while true; do
    "$@" || echo "failed with $?: $*" >&2
    sleep 86400 &
    wait $!
done
