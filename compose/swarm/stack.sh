#!/bin/sh
# Deploy stack.yaml to the Swarm of the engine that `docker` reaches:  sh stack.sh [NAME [OPTIONS…]]
# NAME is the stack's, by default `shop`; options are those of `docker stack deploy`. `docker stack` reads no
# .env, and can change no config or secret: this reads .env, and names those by a digest of the files.
set -eu
cd "$(dirname -- "$0")"
refuse() { printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2 && exit 1; }
export STACK="${1:-shop}"
[ $# = 0 ] || shift
# As Compose does: what the environment has already wins.
while IFS= read -r line || [ -n "$line" ]; do
    name=${line%%=*} value=${line#*=}
    case $name in "" | [!A-Za-z_]* | *[!A-Za-z0-9_]* | "$line") continue ;; esac
    case $value in \"*\" | \'*\') value=${value#?} && value=${value%?} ;; esac
    eval "[ \"\${$name+set}\" ]" || export "$name=$value"
done <"${ENV_FILE:-.env}"
digest() { cat "$@" | sha256sum | cut -c 1-8; }
CONFIG=$(digest "${NGINX_FOLDER:-nginx}"/*.template "${REDIS_FOLDER:-redis}"/redis.conf "${REDIS_FOLDER:-redis}"/sentinel.sh)
SECRET=$(digest "${SECRETS_FOLDER:-secrets}"/[a-z]*)
export CONFIG SECRET
docker stack deploy --compose-file stack.yaml --detach=false "$@" "$STACK"
