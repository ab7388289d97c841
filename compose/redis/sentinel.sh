#!/bin/sh
# Starts a server or a Sentinel of compose.sentinel.yaml:  sentinel.sh NAME [LEAST PROGRAM FILE OPTIONS…]
# Or, with `docker compose exec sentinel-1 sh /etc/redis/sentinel.sh …`, in one that runs:
#   status    what each server is: its role, the bytes that it has
#   failover  lets the primary hand over to a replica; it takes no changes meanwhile
#   users     lets all read their users and passwords again
# A fail-over makes another server the primary. So each one keeps in its volume whom it follows or
# watches, in a file that is made once. The settings here come behind that file, and win. The user
# `sentinel` of users.acl.template may copy a server and make it a primary or a replica, no more; that of
# sentinels.acl.template is a Sentinel's. There, `shop` may only ask which server is the primary.
set -eu
umask 077
cd /data
password=$(cat /run/secrets/sentinel_password)
server=$(command -v valkey-server || command -v redis-server)
ask() { REDISCLI_AUTH=$password timeout 3 "${server%-server}-cli" --user sentinel "$@"; }
# Sentinel looks a name up only when it connects. While a server has no name, it tries its former address, which may be
# another server's by then: it would take one for the other, and lead all to a replica (redis/redis#10146).
is_mixed_up() { # whether a server has an address that another one had five seconds ago, or last
    for each in redis redis-2 redis-3; do timeout 2 getent hosts "$each" || :; done | awk '
        BEGIN { while ((getline <"addresses") > 0) { server[$1] = $2; left[$1] = $3 } close("addresses") }
        { if ($1 in server && server[$1] != $2) moved = 1; server[$1] = $2; used[$1]; found[$2] }
        END {
            for (each in server) {
                left[each] = (each in used) || !(server[each] in found) ? 5 : left[each] - 1
                if (left[each]) print each, server[each], left[each] >"addresses"
            }
            exit !moved
        }'
}
primary() { ask -p 26379 sentinel get-master-addr-by-name unsticky | head -n 1; }
name=$1
case $name in
status)
    for each in redis redis-2 redis-3; do echo "$each: $(ask -h "$each" role 2>&1 | tr '\n' ' ')"; done
    exit
    ;;
users)
    password=$(cat /run/secrets/redis_health_password)
    for each in redis redis-2 redis-3; do ask -h "$each" --user health acl load; done
    for each in sentinel-1 sentinel-2 sentinel-3; do ask -h "$each" -p 26379 --user health acl load; done
    exit
    ;;
failover)
    former=$(primary)
    [ -n "$former" ] || { echo "error: this Sentinel does not answer; ask another one" >&2 && exit 1; }
    said=$(ask -p 26379 sentinel failover unsticky coordinated || echo "its Sentinel does not answer")
    case $said in
    OK* | INPROG* | NOGOODSLAVE* | its*) ;;
    *) # Redis, and Valkey before 9. WAIT is about what its own connection wrote.
        printf '%s\n' multi 'publish __sentinel__:hello -' 'client pause 10000 write' exec 'wait 2 1000' |
            ask -h "$former" >/dev/null
        said=$(ask -p 26379 sentinel failover unsticky)
        ;;
    esac
    case $said in OK*) ;; *) echo "error: $former cannot hand over: $said" >&2 && exit 1 ;; esac
    for _ in $(seq 60); do
        new=$(primary)
        case $new in "" | "$former") sleep 0.2 ;; *) echo "$new is the primary, in place of $former" && exit ;; esac
    done
    echo "error: $former did not hand over within 12 s" >&2 && exit 1
    ;;
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
    : >addresses
    is_mixed_up || :
    # A restart looks up all names. While Sentinel itself starts, it ignores the signal.
    while sleep 1; do
        is_mixed_up || continue
        echo "warning: a server has the former address of another one: Sentinel restarts" >&2
        while kill $$; do sleep 1; done
    done &
    exec "$server" sentinel.conf --sentinel --include own.conf
    ;;
esac
least=$2 conf=${4:-}
shift 2
case ${1:-} in *-server) shift 2 ;; *) exec "$@" ;; esac # or what `docker compose run` names
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
