#!/bin/sh
# Makes the secrets of compose.mongodb.yaml, each once: sh mongodb/secrets.sh [FOLDER]
# FOLDER is that of secrets.sh, which comes first (by default secrets/ beside the Compose files).
# Another password of the application: change it in mongodb_url, restart `mongodb`, deploy.
set -eu
here=$(CDPATH="" cd -- "$(dirname -- "$0")/.." && pwd)
cd "${1:-$here/secrets}"
umask 222 # as secrets.sh does: all who can enter the folder can read the files, and that is you alone
random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }
make() { [ -e "$1" ] || { printf %s "$2" >"$1" && echo "wrote $PWD/$1"; }; }
make mongodb_key "$(random)"
make mongodb_admin_password "$(random)"
make mongodb_url "mongodb://shop:$(random)@mongodb:27017/unsticky?authSource=admin"
