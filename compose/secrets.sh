#!/bin/sh
# Make the secrets that compose.yaml mounts, each once: what is there already stays. Or exchange them:
# sh secrets.sh [next | use | retire] [FOLDER]      (secrets/ beside this file by default)
#   next    make another key and other passwords; they are accepted beside those in use
#   use     sign and log in with them; the former ones are still accepted
#   retire  accept the former ones no longer
# The folder is yours alone (0700); all who can enter it can read the files, as the containers' users.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
case ${1:-} in next | use | retire) step=$1 && shift ;; *) step="make" ;; esac
folder=${1:-$here/secrets}
(umask 077 && mkdir -p "$folder") && chmod 700 "$folder" && cd "$folder"
echo '*' >.gitignore # whatever the repository around it ignores, nothing in here is ever committed
umask 222
refuse() { printf 'error: %s\n  hint: first: sh %s %s\n' "$1" "$0" "$2" >&2 && exit 1; }
# 256 bits from the system, in hexadecimal.
random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }
sha256() { printf %s "$1" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1; }
# In place, because a container keeps the file that it has mounted.
write() { [ ! -e "$1" ] || chmod u+w "$1"
    printf %s "$2" >"$1" && chmod 444 "$1" && echo "wrote $folder/$1"; }
make() { [ -e "$1" ] || write "$1" "$2"; }
make_passwords() { make "redis_url$1" "redis://shop:$(random)@redis:6379/0"
    make "redis_health_password$1" "$(random)"; }
other_keys() { grep -vxF "$(cat secret_key.next)" secret_key; }
# The store's users, with the passwords in the files whose names end so.
write_users() { app="" health=""
    for end in "$@"; do
        app="$app #$(sha256 "$(sed 's|.*://shop:||; s|@.*||' "redis_url$end")")"
        health="$health #$(sha256 "$(cat "redis_health_password$end")")"
    done
    write redis_users "$(sed -e "s/ #\${REDIS_APP_SHA256}/$app/" -e "s/ #\${REDIS_HEALTH_SHA256}/$health/" \
        "$here/redis/users.acl.template")
"; }
case $step in
make) make secret_key "$(random)"
    # These three belong together: passwords, and the users whom they let in.
    [ -e redis_users ] || { rm -f redis_url redis_health_password && make_passwords "" && write_users ""; } ;;
next) make secret_key.next "$(random)"
    # The first line signs.
    write secret_key "$(other_keys && cat secret_key.next)"
    make_passwords .next && write_users "" .next ;;
use) [ -e secret_key.next ] || refuse "cannot use the next secrets: there are none" next
    write secret_key "$(cat secret_key.next && echo && other_keys)"
    for name in redis_url redis_health_password; do write $name "$(cat $name.next)"; done
    rm -f ./*.next ;;
retire) [ ! -e secret_key.next ] || refuse "cannot retire the secrets in use" use
    write secret_key "$(head -n 1 secret_key)" && write_users "" ;;
esac
