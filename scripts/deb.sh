#!/usr/bin/env bash
# Makes the Debian package: target/packages/vestibule_VERSION-1_ARCH.deb, and prints its path.
#
#   scripts/deb.sh               builds the program with the profile "dist" first
#   scripts/deb.sh PROGRAM       packages this program
#
# Two runs with the same sources, compiler and directory make the same bytes: times are those of the last
# commit, or SOURCE_DATE_EPOCH.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
need dpkg-shlibdeps dpkg-dev
[ $# -gt 0 ] || need_to_build
install_needed >&2
need_crate cargo-deb 3.8.0 >&2
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH

stage=target/packages/stage
rm -rf "$stage"
mkdir -p "$stage"
if [ $# -gt 0 ]; then
    install -m 755 "$1" "$stage/vestibule"
else
    cargo build --profile dist --locked --bin vestibule >&2
    install -m 755 "${CARGO_TARGET_DIR:-target}/dist/vestibule" "$stage/vestibule"
fi
"$stage/vestibule" man --dir "$stage/man" >&2
"$stage/vestibule" completions bash >"$stage/vestibule.bash"
"$stage/vestibule" completions zsh >"$stage/_vestibule"
"$stage/vestibule" completions fish >"$stage/vestibule.fish"
scripts/deb-docs.py "$stage/doc"
cargo deb --no-build --no-strip --offline --locked --quiet --output target/packages
