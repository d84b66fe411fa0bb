#!/usr/bin/env bash
# Puts axe-core, which looks for barriers on web pages, where the browser tests find it, unless it is
# there: target/axe. It is Mozilla-licensed (MPL-2.0) and no part of the product.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.14.1
place=target/axe
mkdir -p "$place"
exec 9>"$place/lock"
flock 9
[ -e "$place/node_modules/axe-core/axe.min.js" ] && grep -qF "\"version\": \"$version\"" "$place/node_modules/axe-core/package.json" && exit 0
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$place" "axe-core@$version"
