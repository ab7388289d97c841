#!/bin/sh
# Make a certificate for development, signed by itself; one that is there already stays.
#
# Usage: sh compose/certificate.sh [NAME…]      (localhost by default; host names or addresses)
#
# It goes to TLS_DIR, secrets/tls beside this file by default. curl trusts it with
# --cacert compose/secrets/tls/fullchain.pem; a browser asks once.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")" && pwd)
folder=${TLS_DIR:-$here/secrets/tls}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
[ $# -gt 0 ] || set -- localhost 127.0.0.1 ::1

if [ -e "$folder/fullchain.pem" ]; then
    echo "There is a certificate in $folder. To replace it, first remove it: rm $folder/*.pem"
    exit 0
fi
if ! command -v openssl >/dev/null; then
    echo "error: the command openssl is missing" >&2
    echo "  hint: install it, or put fullchain.pem and privkey.pem into $folder yourself" >&2
    exit 1
fi

# The container's user must be able to read the key, so a folder above keeps this host's users out.
above=$(dirname -- "$folder")
(umask 077 && mkdir -p "$above")
private=
while [ -z "$private" ] && [ "$above" != "$(dirname -- "$above")" ]; do
    private=$(find -L "$above" -prune ! -perm -001 ! -perm -010)
    above=$(dirname -- "$above")
done
if [ -z "$private" ]; then
    echo "error: other users could read the private key: they can enter $(dirname -- "$folder")" >&2
    echo "  hint: chmod 700 that folder, or set TLS_DIR to one inside a folder that is yours" >&2
    exit 1
fi
mkdir -p "$folder"
chmod 755 "$folder"

names=
for name; do
    case $name in
    *:* | *[0-9].*[0-9].*[0-9].*[0-9]) names="$names,IP:$name" ;;
    *) names="$names,DNS:$name" ;;
    esac
done

settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
# For a server only; it can sign nothing else, should the key get lost. 90 days, as in production.
cat >"$settings" <<END
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
commonName = $1
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${names#,}
END
umask 222
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 \
    -config "$settings" -keyout "$folder/privkey.pem" -out "$folder/fullchain.pem" 2>/dev/null
chmod 444 "$folder/privkey.pem"
echo "made $folder/fullchain.pem and privkey.pem for $*"
