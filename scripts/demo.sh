#!/usr/bin/env bash
# Builds Vestibule and runs its demo: a sample app behind the gate. Installs what the build needs
# first, where apt-get is at hand and something is missing. Arguments go to `vestibule demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
need_to_build
install_needed
exec cargo run --locked -- demo "$@"
