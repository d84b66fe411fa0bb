#!/usr/bin/env bash
# Builds Vestibule and runs its demo: a sample app behind the gateway. Installs missing build tools with
# apt-get. Passes its arguments to `vestibule demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
need_to_build
install_needed
exec cargo run --locked -- demo "$@"
