#!/usr/bin/env bash
# Runs the tests. Installs missing tools with apt-get first.
#
#   scripts/test.sh              all tests
#   scripts/test.sh fast         all tests that need no Chromium, R or npm
#   scripts/test.sh ARGS...      cargo test ARGS..., such as part of a test's name
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
need_to_build
need redis-server redis-server
need psql postgresql
need pgbouncer pgbouncer
need oathtool oathtool
ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || needed_packages+=(libfaketime)
need aiosmtpd python3-aiosmtpd
/usr/bin/python3 -c 'import jwt, cryptography' >/dev/null 2>&1 ||
    needed_packages+=(python3 python3-jwt python3-cryptography)
/usr/bin/python3 -c 'import fido2' >/dev/null 2>&1 || needed_packages+=(python3-fido2)
need node nodejs
need nginx nginx
need haproxy haproxy
need caddy caddy
[ -e /usr/lib/nginx/modules/ngx_http_js_module.so ] || needed_packages+=(libnginx-mod-http-js)
# The verifier in Java runs where there is a JDK.
if command -v javac >/dev/null 2>&1 && [ ! -e /usr/share/java/jackson-databind.jar ]; then
    needed_packages+=(libjackson2-databind-java)
fi
[ -e /usr/share/nodejs/jose ] || needed_packages+=(node-jose)
/usr/bin/python3 -c 'import requests, requests_toolbelt' >/dev/null 2>&1 ||
    needed_packages+=(python3 python3-requests python3-requests-toolbelt)
if [ "${1:-}" != fast ]; then
    need chromium chromium
    need chromedriver chromium-driver
    need zbarimg zbar-tools
    [ -e /usr/lib/R/site-library/httr ] || needed_packages+=(r-base-core r-cran-httr)
    need npm npm
fi
# Debian installs the server outside of PATH, in a directory named after its version.
if ! command -v initdb >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    needed_packages+=(postgresql)
fi
install_needed
scripts/proxies.sh

# Most tests wait for a server or a time-out, not for a core.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((2 * $(nproc)))}"
# The tests open many connections at once.
ulimit -n 8192 2>/dev/null || true

if [ "${1:-}" = fast ]; then
    shift
    # The tests that start Chromium or R; the last three are single tests of `answers` and `session_bar`.
    skipped=(axe:: browser:: cellengine_browser:: cellengine_r:: life:: newcomer::
        a_browser_lets_scripts_of_a_configured_origin a_page_of_another_origin_reads
        the_bar_announces_the_end)
    # Names of unit tests contain `browser::` as well.
    cargo test --locked --lib --bins --examples "$@"
    cargo test --locked --doc "$@"
    exec cargo test --locked --test it "$@" -- "${skipped[@]/#/--skip=}"
fi
scripts/axe.sh
exec cargo test --locked "$@"
