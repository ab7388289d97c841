#!/bin/sh
# Starts the server of compose.mongodb.yaml, and beside it what prepares it.
set -eu
# The server refuses a key that others can read, which is how secrets are mounted.
install -m 0400 /run/secrets/mongodb_key /run/mongodb/key
until mongosh --quiet --nodb /etc/mongodb/prepare.js; do sleep 2; done &
# With a key file, it lets in its users only. It may stop at once: no other member takes over.
exec mongod --replSet unsticky --keyFile /run/mongodb/key --bind_ip_all --wiredTigerCacheSizeGB 0.25 \
    --setParameter shutdownTimeoutMillisForSignaledShutdown=1000 \
    --setParameter transactionLifetimeLimitSeconds=5  # of a worker that was killed: others wait for it
