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
is_ours() { grep -q '//shop:.*@redis:' redis_url; } # and not of another store
password() { sed 's|.*://shop:||; s|@.*||' "redis_url$1"; }
digests() { sed -n "s/^user $1 on\(\( #[0-9a-f]*\)*\) .*/\1/p" redis_users; }
render() { sed -e "s/ #\${REDIS_APP_SHA256}/$app/; s/ #\${REDIS_HEALTH_SHA256}/$health/" \
    -e "s/ #\${REDIS_SENTINEL_SHA256}/ #$(sha256 "$(cat sentinel_password)")/" "$here/redis/$1.acl.template"; }
# For compose.sentinel.yaml. Its servers and Sentinels log in to each other with a password that stays.
write_sentinel_url() { write sentinel_url "redis+sentinel://shop:$(password "")@sentinel-1:26379,\
sentinel-2:26379,sentinel-3:26379/unsticky/0?sentinel_username=shop&sentinel_password=$(password "")"; }
# The users: those in $users, with the digests in $app and $health, and the one that Sentinels need.
write_users() { write redis_users "$users
$(render users | grep '^user sentinel ')
" && write sentinel_users "$(render sentinels)
" && write_sentinel_url; }
# The store's users, with the passwords in the files whose names end so.
renew_users() { app="" health=""
    for end in "$@"; do
        app="$app #$(sha256 "$(password "$end")")"
        health="$health #$(sha256 "$(cat "redis_health_password$end")")"
    done
    users=$(render users | grep -v '^user sentinel ') && write_users; }
for name in secret_key redis_url redis_health_password; do [ "$step" = make ] || [ -s $name ] ||
    refuse "there is no $folder/$name" "first: sh $0 $folder"; done
make sentinel_password "$(random)"
case $step in
make) make secret_key "$(random)" # the others belong together: passwords, and the users whom they let in
    if [ ! -e redis_users ]; then [ ! -s redis_url ] || is_ours || mv redis_url redis_url.kept # another store's is yours
        rm -f redis_url redis_health_password; make_passwords ""; renew_users ""; [ ! -e redis_url.kept ] || mv redis_url.kept redis_url
    elif is_ours && ! { [ -e sentinel_url ] && grep -q '^user health .* +info' redis_users; }; then # an older version made them
        app=$(digests shop) health=$(digests health) users=$(sed '/^user sentinel /d; /^user health /{/ +info/!s/$/ +info/;}' redis_users) && write_users
    fi ;;
next) make secret_key.next "$(random)"
    write secret_key "$(other_keys && cat secret_key.next)" # the first line signs
    ! is_ours || { make_passwords .next && renew_users "" .next; } ;;
use) [ -e secret_key.next ] || refuse "cannot use the next secrets: there are none" "first: sh $0 next $folder"
    write secret_key "$(cat secret_key.next && echo && other_keys)"
    for name in redis_url redis_health_password; do [ ! -e $name.next ] || write $name "$(cat $name.next)"; done
    ! is_ours || write_sentinel_url
    rm -f ./*.next ;;
retire) [ ! -e secret_key.next ] || refuse "cannot retire the secrets in use" "first: sh $0 use $folder"
    write secret_key "$(head -n 1 secret_key)"
    ! is_ours || renew_users "" ;;
esac
