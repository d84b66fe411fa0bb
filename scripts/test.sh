#!/usr/bin/env bash
# Runs every test. Installs what they need first, where apt-get is at hand and something is missing.
#
#   scripts/test.sh              everything
#   scripts/test.sh fast         without Chromium, R and npm: under three minutes once built
#   scripts/test.sh ARGS...      cargo test ARGS...
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
need_to_build
need redis-server redis-server
need psql postgresql
need pgbouncer pgbouncer
need oathtool oathtool
need aiosmtpd python3-aiosmtpd
/usr/bin/python3 -c 'import requests, requests_toolbelt' >/dev/null 2>&1 ||
    needed_packages+=(python3 python3-requests python3-requests-toolbelt)
if [ "${1:-}" != fast ]; then
    need chromium chromium
    need chromedriver chromium-driver
    need zbarimg zbar-tools
    [ -e /usr/lib/R/site-library/httr ] || needed_packages+=(r-base-core r-cran-httr)
    need npm npm
fi
# The server itself is kept out of the way by Debian, under its version.
if ! command -v initdb >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    needed_packages+=(postgresql)
fi
install_needed

# The tests keep many connections open at once.
ulimit -n 8192 2>/dev/null || true

if [ "${1:-}" = fast ]; then
    shift
    skipped=(axe:: browser:: cellengine_browser:: cellengine_r::)
    exec cargo test --locked "$@" -- "${skipped[@]/#/--skip=}"
fi
scripts/axe.sh
exec cargo test --locked "$@"
