#!/bin/sh
# `docker stack deploy` of stack.yaml:  sh swarm/deploy.sh [OPTIONS of docker stack deploy…]
# `docker stack` reads no .env, and a Swarm changes no config and no secret. This reads .env, or ENV_FILE, and
# names configs and secrets by digests of their content. It exchanges the servers of the store one after the other,
# and returns once all services run, with 1 if one does not within DEPLOY_SECONDS (600), or if Swarm took a release
# back.
set -eu
cd "$(dirname -- "$0")/.."
refuse() { printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2 && exit 1; }
read_variables() { # The same lines as the kit. The environment counts more, and of two lines the later one.
    number=0 given=$(env)
    while IFS= read -r line; do
        number=$((number + 1)) name=${line%%=*}
        case $name in "" | \#*) continue ;; "$line" | [!A-Za-z_]* | *[!A-Za-z0-9_]*)
            refuse "$file, line $number is not NAME=value" "NAME=value, NAME='value' or NAME=\"value\", on one line" ;;
        esac
        echo "$given" | grep -q "^$name=" || export "$name=${line#*=}"
    done <<END
$(tr -d '\r' <"$file" | sed "s/^[[:blank:]]*//; s/^export[[:blank:]]*//; s/[[:blank:]]*=[[:blank:]]*/=/; t values
        :values
        s/^\([^#=]*=\)\"\([^\"]*\)\"[[:blank:]]*\(#.*\)*\$/\1\2/; t
        s/^\([^#=]*=\)'\([^']*\)'[[:blank:]]*\(#.*\)*\$/\1\2/; t
        s/^[^#=]*=[\"'].*/?/; s/^\([^#=]*=\)#.*/\1/; s/[[:blank:]]#.*//; s/[[:blank:]]*\$//")
END
}
file=${ENV_FILE:-.env}
if [ -e "$file" ]; then read_variables; elif [ -n "${ENV_FILE:-}" ]; then
    refuse "there is no $PWD/$file" "ENV_FILE is relative to $PWD"
fi
[ -n "${APP_IMAGE:-}" ] || refuse "APP_IMAGE is not set" "name an image that all hosts have or can pull, in .env"
docker version >/dev/null || refuse "no engine answers" "start it, join the group docker, or check DOCKER_CONTEXT and DOCKER_HOST"
nodes=$(docker node ls -q) || refuse "the engine is no manager of a Swarm that has a leader" \
    "docker swarm init, or DOCKER_CONTEXT of a manager; more than half of all managers have to run"
for label in 1 2 3; do
    # shellcheck disable=SC2086 # one word each
    [ "${STORE_REPLICAS:-1}" = 0 ] || docker node inspect -f '{{.Spec.Labels.unsticky}}' $nodes | grep -qx $label ||
        refuse "no node has the label unsticky=$label" "docker node update --label-add unsticky=$label NODE"
done
export STACK="${COMPOSE_PROJECT_NAME:-unsticky}" SECRETS="$PWD/secrets" NGINX_TEMPLATES="$PWD/nginx"
[ -d nginx ] || NGINX_TEMPLATES=$(cd ../nginx && pwd) # in the kit's own checkout
# The store's servers here, or one elsewhere (STORE_REPLICAS=0), which redis_url names.
REDIS_URL_NAME=sentinel_url
[ "${STORE_REPLICAS:-1}" != 0 ] || REDIS_URL_NAME=redis_url
for name in secret_key $REDIS_URL_NAME redis_users sentinel_users sentinel_password; do
    [ -s "secrets/$name" ] && [ -r "secrets/$name" ] ||
        refuse "there is no $SECRETS/$name, or it is empty or not yours to read" "first: sh secrets.sh"
done
[ $REDIS_URL_NAME = sentinel_url ] || ! grep -q '//shop:.*@redis:' secrets/redis_url ||
    refuse "$SECRETS/redis_url names the store of this stack, which has none" "write the URL of yours there"
export REDIS_URL_NAME APP_ENV_FILE="${APP_ENV_FILE:-app.env}"
case $APP_ENV_FILE in /*) ;; *) APP_ENV_FILE=$PWD/$APP_ENV_FILE ;; esac
[ -e "$APP_ENV_FILE" ] || APP_ENV_FILE=/dev/null
digest() { cat "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c 1-12; }
NGINX_DIGEST=$(digest "$NGINX_TEMPLATES"/*.template) STORE_DIGEST=$(digest redis/redis.conf redis/sentinel.sh)
SECRET_KEY_DIGEST=$(digest secrets/secret_key) REDIS_URL_DIGEST=$(digest secrets/$REDIS_URL_NAME)
USERS_DIGEST=$(cd secrets && digest redis_users sentinel_users sentinel_password)
export NGINX_DIGEST STORE_DIGEST SECRET_KEY_DIGEST REDIS_URL_DIGEST USERS_DIGEST
# What makes the store: a server whose label is another one is exchanged.
STORE_SPEC=$(docker stack config --compose-file swarm/stack.yaml | awk '/^ ? ?[a-z]/ {
    of_store = /^  (redis[-.:]|sentinel[-.]|redis_users|sentinel_)/ } of_store' | digest)
export STORE_SPEC
deadline=$(($(date +%s) + ${DEPLOY_SECONDS:-600}))
services() { docker stack services --format '{{.Name}} {{.Replicas}}' "$STACK" 2>/dev/null; }
inspect() { docker service inspect "$1" --format "$2"; }
update() { inspect "$1" '{{with .UpdateStatus}}{{.State}} {{.StartedAt}}{{end}}'; }
updates() { services | while read -r name _; do echo "$name $(update "$name")"; done; }
updating() {
    updates | sed -n 's/ updating .*//p; s/ rollback_started .*//p' | while read -r name; do
        has_no_host "$name" || echo "$name"
    done
}
unsettled() { # the services that do not run as they should, or are being changed
    all=$(services) && [ -n "$all" ] || all="$STACK ?"
    echo "$all" | while read -r name count _; do
        state=$(update "$name" 2>/dev/null) || state=updating # a new leader answers in a moment
        case $state in updating* | rollback_started*) ;; *) [ "${count%/*}" != "${count#*/}" ] || continue ;; esac
        has_no_host "$name" || echo "$name"
    done
}
# A server of the store waits for its own host, which may be drained or gone.
has_no_host() {
    case $1 in "$STACK"_redis* | "$STACK"_sentinel*) ;; *) return 1 ;; esac
    docker service ps -f desired-state=running --no-trunc --format '{{.CurrentState}} {{.Error}}' "$1" 2>/dev/null |
        grep -q '^Pending .*no suitable node'
}
why() { docker service ps --no-trunc --format '{{with .Error}}{{.}}{{end}}' "$1" 2>/dev/null | grep -m 1 .; }
await() { # until a command prints no service
    last=""
    while name=$("$@" | head -n 1) && [ -n "$name" ]; do
        reason=$(why "$name") || reason=""
        [ "$(date +%s)" -lt "$deadline" ] ||
            refuse "$name does not run as it should${reason:+; last error: $reason}" "docker service ps --no-trunc $name says more"
        [ "$reason" = "$last" ] || echo "waiting for $name: $reason"
        last=$reason
        sleep 1
    done
}
# A host of the store has a Sentinel, which says what each server is.
sentinel() { docker exec "$(docker ps -q -f "name=^${STACK}_sentinel" | head -n 1)" sh /etc/redis/sentinel.sh "$1"; }
connected() { sentinel status 2>/dev/null | grep -c ' connected '; }
behind() {
    unsettled | grep -x "$1" || [ "$(connected)" -ge "$complete" ] || echo "$1"
}
deploy() { # a file, with the options
    of=$1 && shift
    # A tag that moved would restart the store's servers: only another name is looked up.
    (cd swarm && docker stack deploy --detach --compose-file "$of" --resolve-image changed "$@" "$STACK") ||
        refuse "docker stack deploy failed" "it says why above. Another deployment may run, or docker stack rm: once more in a moment"
}
# If all restarted at once, one without the last changes could become the primary. So the primary is the last, and
# hands over first: one that comes back takes changes until Sentinel has made another one the primary.
exchange_store() {
    [ "${STORE_REPLICAS:-1}" != 0 ] && services | grep -Eq "^${STACK}_redis(-[23])? 1/1" || return 0
    roles=$(sentinel status 2>/dev/null) || refuse "the engine has no Sentinel of the store, which runs" \
        "DOCKER_CONTEXT of a manager with a label unsticky"
    complete=$(connected) || :
    primary=$(echo "$roles" | sed -n 's/: master.*//p')
    for option in "$@"; do # --prune would remove all that is not in the file: here, all but one server
        shift
        case $option in --prune*) ;; *) set -- "$@" "$option" ;; esac
    done
    for each in sentinel-1 sentinel-2 sentinel-3 $(echo "$roles" | sed -n '/: master/!s/:.*//p') $primary; do
        name=${STACK}_$each before=$(services)
        [ "$(inspect "$name" '{{index .Spec.Labels "unsticky.store"}}')" != "$STORE_SPEC" ] || continue
        [ "$each" != "$primary" ] || sentinel failover || refuse "the store's primary does not hand over" "once more in a moment"
        awk -v only="  $each:" '/^[a-z]/ { inside = /^services:/ } inside && /^  [a-z]/ { gone = $0 != only }
            !inside || !gone' swarm/stack.yaml | deploy - "$@"
        sleep 2
        case $before in *"$name 1/1"*) await behind "$name" ;; esac
    done
}
# During an update, Swarm would take a failure back to that update's release, which may not work either.
name=$(updating | head -n 1)
[ -z "$name" ] || refuse "$name is still being changed, by another deployment or one that was interrupted" \
    "wait until it ends, or take it back: docker service rollback $name"
exchange_store "$@"
before=$(updates)
deploy stack.yaml "$@"
# Not `--detach=false`: it looks at one service after the other, waits for ever for one that never starts, and
# ends with 0 if Swarm takes a release back.
sleep 2
# Swarm forgets a task that waits for its host if its service is updated to the same (moby/moby#53722).
services | sed -n 's| 0/1$||p' | while read -r name; do
    ! has_no_host "$name" || docker service update --detach --force "$name" >/dev/null ||
        echo "warning: once its host is back: docker service update --force $name" >&2
done
await unsettled
updates | while read -r name state began; do
    case $state in
    rollback* | paused) ;;
    *) continue ;;
    esac
    case $before in *"$name $state $began"*) continue ;; esac
    refuse "the new release of $name was not taken: $state" "docker service ps --no-trunc $name says why"
done
services | sed -n 's| 0/1$||p' | while read -r name; do echo "warning: $name does not run: $(why "$name")" >&2; done
