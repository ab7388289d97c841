#!/bin/sh
# `docker stack deploy` of stack.yaml:  sh swarm/deploy.sh [OPTIONS of docker stack deploy…]
# `docker stack` reads no .env, and a Swarm changes no config and no secret. This reads .env, or ENV_FILE, and
# names configs and secrets by digests of their content. It returns once all services run, with 1 if one does not
# within DEPLOY_SECONDS (600), or if Swarm took a release back.
set -eu
cd "$(dirname -- "$0")/.."
refuse() { printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2 && exit 1; }
read_variables() {
    # The environment counts more, as with Compose, and of two lines the later one. Not by `.`: values may
    # have spaces without quotes.
    given=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p')
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line%%=*} value=${line#*=}
        case $name in "$line" | "" | [!A-Za-z_]* | *[!A-Za-z0-9_]*) continue ;; esac
        case $value in \"*\" | \'*\') value=${value#?} && value=${value%?} ;; esac
        echo "$given" | grep -qx "$name" || export "$name=$value"
    done
}
file=${ENV_FILE:-.env}
if [ -e "$file" ]; then read_variables <"$file"; elif [ -n "${ENV_FILE:-}" ]; then
    refuse "there is no $PWD/$file" "ENV_FILE is relative to $PWD"
fi
[ -n "${APP_IMAGE:-}" ] || refuse "APP_IMAGE is not set" "name an image that all hosts have or can pull, in .env"
[ "$(docker info --format '{{.Swarm.ControlAvailable}}')" = true ] ||
    refuse "the engine is no manager of a Swarm" "docker swarm init, or DOCKER_CONTEXT of a manager"
for label in 1 2 3; do
    [ "${STORE_REPLICAS:-1}" = 0 ] || docker node ls -q | xargs docker node inspect -f '{{.Spec.Labels.unsticky}}' | grep -qx $label ||
        refuse "no node has the label unsticky=$label" "docker node update --label-add unsticky=$label NODE"
done
export STACK="${COMPOSE_PROJECT_NAME:-unsticky}" SECRETS="$PWD/secrets" NGINX_TEMPLATES="$PWD/nginx"
[ -d nginx ] || NGINX_TEMPLATES=$(cd ../nginx && pwd) # in the kit's own checkout
# The store's servers here, or one elsewhere (STORE_REPLICAS=0), which redis_url names.
REDIS_URL_NAME=sentinel_url
[ "${STORE_REPLICAS:-1}" != 0 ] || REDIS_URL_NAME=redis_url
for name in secret_key $REDIS_URL_NAME; do
    [ -s "secrets/$name" ] || refuse "there is no $SECRETS/$name" "first: sh secrets.sh"
done
export REDIS_URL_NAME APP_ENV_FILE="${APP_ENV_FILE:-app.env}"
case $APP_ENV_FILE in /*) ;; *) APP_ENV_FILE=$PWD/$APP_ENV_FILE ;; esac
[ -e "$APP_ENV_FILE" ] || APP_ENV_FILE=/dev/null
digest() { cat "$@" | sha256sum | cut -c 1-12; }
NGINX_DIGEST=$(digest "$NGINX_TEMPLATES"/*.template) STORE_DIGEST=$(digest redis/redis.conf redis/sentinel.sh)
SECRET_KEY_DIGEST=$(digest secrets/secret_key) REDIS_URL_DIGEST=$(digest secrets/$REDIS_URL_NAME)
USERS_DIGEST=$(cd secrets && digest redis_users sentinel_users redis_health_password sentinel_password)
export NGINX_DIGEST STORE_DIGEST SECRET_KEY_DIGEST REDIS_URL_DIGEST USERS_DIGEST
services() { docker stack services --format '{{.Name}} {{.Replicas}}' "$STACK" 2>/dev/null; }
update() { docker service inspect "$1" --format '{{with .UpdateStatus}}{{.State}} {{.StartedAt}}{{end}}'; }
updates() { services | while read -r name _; do echo "$name $(update "$name")"; done; }
unsettled() { # the services that do not run as they should, or are being changed
    services | while read -r name count _; do
        case $(update "$name") in updating* | rollback_started*) echo "$name" && continue ;; esac
        [ "${count%/*}" = "${count#*/}" ] || echo "$name"
    done
}
before=$(updates)
docker stack deploy --detach --compose-file swarm/stack.yaml "$@" "$STACK"
# Not `--detach=false`: it looks at one service after the other, waits for ever for one that never starts, and
# ends with 0 if Swarm takes a release back.
sleep 2
left=${DEPLOY_SECONDS:-600}
while name=$(unsettled | head -n 1) && [ -n "$name" ]; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || refuse "$name does not run as it should" "docker service ps --no-trunc $name says why"
    sleep 1
done
updates | while read -r name state began; do
    case $state in
    rollback* | paused) ;;
    *) continue ;;
    esac
    case $before in *"$name $state $began"*) continue ;; esac
    refuse "the new release of $name was not taken: $state" "docker service ps --no-trunc $name says why"
done
