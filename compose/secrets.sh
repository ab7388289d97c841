#!/bin/sh
# Make the secrets that compose.yaml mounts, each once: what is there already stays.
#
# Usage: sh compose/secrets.sh [FOLDER]      (secrets/ beside this file by default)
#
# The folder is yours alone (0700); the files in it can be read by everybody who can enter it,
# because the containers' users must.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
folder=${1:-$here/secrets}

(umask 077 && mkdir -p "$folder")
chmod 700 "$folder"
# Whatever the repository around it ignores, nothing in here is ever committed.
echo '*' >"$folder/.gitignore"
umask 222

# 256 bits from the system, in hexadecimal.
random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Write standard input to a new file, and say so.
keep() {
    cat >"$folder/$1"
    echo "made $folder/$1"
}

if [ ! -e "$folder/secret_key" ]; then
    random | keep secret_key
fi

# These three belong together: passwords, and the users whom they let in.
if [ ! -e "$folder/redis_users" ]; then
    rm -f "$folder/redis_url" "$folder/redis_health_password"
    app=$(random)
    health=$(random)
    printf 'redis://shop:%s@redis:6379/0' "$app" | keep redis_url
    printf '%s' "$health" | keep redis_health_password
    sed -e "s/\${REDIS_APP_SHA256}/$(printf '%s' "$app" | sha256)/" \
        -e "s/\${REDIS_HEALTH_SHA256}/$(printf '%s' "$health" | sha256)/" \
        "$here/redis/users.acl.template" | keep redis_users
fi
