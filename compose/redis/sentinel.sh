#!/bin/sh
# Starts a server or a Sentinel of compose.sentinel.yaml:  sentinel.sh NAME [LEAST PROGRAM FILE OPTIONS…]
# A fail-over makes another server the primary. So each one keeps in its volume whom it follows or
# watches, in a file that is made once. The settings here come behind that file, and win. The user
# `sentinel` of users.acl.template may copy a server and make it a primary or a replica, no more; that of
# sentinels.acl.template is a Sentinel's. There, `shop` may only ask which server is the primary.
set -eu
umask 077
cd /data
password=$(cat /run/secrets/sentinel_password)
server=$(command -v valkey-server || command -v redis-server)
name=$1
case $name in
sentinel-*)
    [ -s sentinel.conf ] || echo "sentinel monitor unsticky redis 6379 2" >sentinel.conf
    cat >own.conf <<END
port 26379
# The internal network and the users decide who may connect.
aclfile /run/secrets/sentinel_users
protected-mode no
# Names, because a container that starts again has another address.
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $name
sentinel auth-user unsticky sentinel
sentinel auth-pass unsticky $password
sentinel sentinel-user sentinel
sentinel sentinel-pass $password
# A server that restarts is back within two seconds, and stays what it is.
sentinel down-after-milliseconds unsticky 2000
sentinel failover-timeout unsticky 3000
# One after the other, so that the other one has a copy.
sentinel parallel-syncs unsticky 1
END
    exec "$server" sentinel.conf --sentinel --include own.conf
    ;;
esac
least=$2 conf=$4
shift 4
[ -e server.conf ] || case $name in
redis) : >server.conf ;;
*) echo "replicaof redis 6379" >server.conf ;;
esac
cat >own.conf <<END
masteruser sentinel
masterauth $password
replica-announce-ip $name
# Without a complete copy a replica refuses all, the PING of the health check, too.
replica-serve-stale-data no
# The first copy waits for no other replica, and one that was away for a moment needs no whole copy.
repl-diskless-sync-delay 0
repl-backlog-size 16mb
min-replicas-to-write $least
# Replicas report once a second.
min-replicas-max-lag 3
END
exec "$server" server.conf --include "$conf" --include own.conf "$@"
