#!/usr/bin/env bash
# Runs every test. Installs what they need first, where apt-get is at hand and something is missing.
#
#   scripts/test.sh              everything
#   scripts/test.sh ARGS...      cargo test ARGS...
set -euo pipefail
cd "$(dirname "$0")/.."

missing=""
need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need gcc gcc
need cmake cmake
need make make
need redis-server redis-server
need psql postgresql
need chromium chromium
need chromedriver chromium-driver
need oathtool oathtool
need zbarimg zbar-tools
need nginx nginx
# The server itself is kept out of the way by Debian, under its version.
if ! command -v initdb >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    missing="$missing postgresql"
fi
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Please install:$missing" >&2
        exit 2
    elif [ "$(id -u)" = 0 ]; then
        sudo=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        echo "Please install (as root):$missing" >&2
        exit 2
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # words on purpose
    $sudo apt-get update -q
    # shellcheck disable=SC2086
    $sudo apt-get install -y -q --no-install-recommends $missing
fi

# The tests keep many connections open at once.
ulimit -n 8192 2>/dev/null || true

exec cargo test --locked "$@"
