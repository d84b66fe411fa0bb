# Sourced by the other scripts: base systems of Debian.
#
#   base_system NAME PACKAGES     makes target/packages/NAME.tar, if it is not there: Debian bookworm with the
#                                 packages (a list with commas) and what they need. Needs root.
base_system() {
    local name=$1 packages=$2 root
    [ ! -e "target/packages/$name.tar" ] || return 0
    mkdir -p target/packages
    root=$(mktemp -d)
    debootstrap --variant=minbase --include="$packages" bookworm "$root" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        rm -rf "$root" "$root.log"
        return 1
    }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root.log"
    chmod 755 "$root"
    tar -C "$root" -cf "target/packages/$name.tar.part" .
    mv "target/packages/$name.tar.part" "target/packages/$name.tar"
    rm -rf "$root"
}
