#!/bin/sh
# Make the secrets that compose.yaml mounts: sh secrets.sh [FOLDER], or else secrets/ beside this file.
# What is there stays. The folder is yours alone (0700); who can enter it, as containers, can read all.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
folder=${1:-$here/secrets}
(umask 077 && mkdir -p "$folder") && chmod 700 "$folder"
# Whatever the repository around it ignores, nothing in here is ever committed.
echo '*' >"$folder/.gitignore"
umask 222
# 256 bits from the system, in hexadecimal.
random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }
sha256() { printf %s "$1" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1; }
keep() { cat >"$folder/$1" && echo "made $folder/$1"; }
[ -e "$folder/secret_key" ] || random | keep secret_key
# These three belong together: passwords, and the users whom they let in.
if [ ! -e "$folder/redis_users" ]; then
    rm -f "$folder/redis_url" "$folder/redis_health_password"
    app=$(random) health=$(random)
    printf %s "redis://shop:$app@redis:6379/0" | keep redis_url
    printf %s "$health" | keep redis_health_password
    sed -e "s/\${REDIS_APP_SHA256}/$(sha256 "$app")/" \
        -e "s/\${REDIS_HEALTH_SHA256}/$(sha256 "$health")/" \
        "$here/redis/users.acl.template" | keep redis_users
fi
