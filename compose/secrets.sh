#!/bin/sh
# Make the secrets that compose.yaml mounts, each once: what is there already stays. Or exchange them:
# sh secrets.sh [next | use | retire] [FOLDER]      (its name has a slash; by default secrets/ beside this file)
#   next    make another key and other passwords; they are accepted beside those in use
#   use     sign and log in with them; the former ones are still accepted
#   retire  accept the former ones no longer
# The folder is yours alone (0700); all who can enter it can read the files, as the containers' users.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
refuse() { printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2 && exit 1; }
case ${1:-} in next | use | retire) step=$1 && shift ;; "" | */*) step="make" ;;
    *) refuse "there is no step $1" "next, use or retire; the name of a folder has a slash: ./$1" ;; esac
folder=${1:-$here/secrets}
(umask 077 && mkdir -p "$folder") && chmod 700 "$folder" && cd "$folder"
echo '*' >.gitignore && umask 222 # whatever the repository around it ignores, nothing in here is committed
random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; } # 256 bits from the system, in hexadecimal
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
for name in secret_key redis_url redis_health_password; do [ "$step" = make ] || [ -s $name ] ||
    refuse "there is no $folder/$name" "first: sh $0 $folder"; done
case $step in
make) make secret_key "$(random)"
    # These three belong together: passwords, and the users whom they let in.
    [ -e redis_users ] || { rm -f redis_url redis_health_password && make_passwords "" && write_users ""; } ;;
next) make secret_key.next "$(random)"
    write secret_key "$(other_keys && cat secret_key.next)" # the first line signs
    ! grep -q '//shop:.*@redis:' redis_url || { make_passwords .next && write_users "" .next; } ;; # not of another store
use) [ -e secret_key.next ] || refuse "cannot use the next secrets: there are none" "first: sh $0 next $folder"
    write secret_key "$(cat secret_key.next && echo && other_keys)"
    for name in redis_url redis_health_password; do [ ! -e $name.next ] || write $name "$(cat $name.next)"; done
    rm -f ./*.next ;;
retire) [ ! -e secret_key.next ] || refuse "cannot retire the secrets in use" "first: sh $0 use $folder"
    write secret_key "$(head -n 1 secret_key)" && write_users "" ;;
esac
