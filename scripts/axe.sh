#!/usr/bin/env bash
# Installs axe-core, an accessibility checker, in target/axe for the browser tests. Does nothing if it is
# already there. axe-core is licensed under the MPL-2.0 and is not part of the product.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.14.1
place=target/axe
mkdir -p "$place"
exec 9>"$place/lock"
flock 9
[ -e "$place/node_modules/axe-core/axe.min.js" ] && grep -qF "\"version\": \"$version\"" "$place/node_modules/axe-core/package.json" && exit 0
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$place" "axe-core@$version"
