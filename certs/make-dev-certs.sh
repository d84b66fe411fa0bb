#!/usr/bin/env bash
# Creates a CA and a certificate under it, for development only. Do not use them in production.
#
#   certs/make-dev-certs.sh DIRECTORY HOST...
#
# Browsers and apps must trust DIRECTORY/ca.pem; an existing CA is kept. The gateway uses
# DIRECTORY/FIRST_HOST.pem and .key. Hosts are names, wildcards (*.example.test) or IP addresses. Only
# the owner can read the keys.
set -euo pipefail
umask 077

if [ $# -lt 2 ]; then
    sed -n '4,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
command -v openssl >/dev/null 2>&1 || {
    echo "Please install openssl." >&2
    exit 2
}

directory=$1
shift
names=""
for host in "$@"; do
    if [[ ! $host =~ ^[A-Za-z0-9.:*_-]+$ || $host == -* ]]; then
        echo "$host is neither a host name nor an IP address." >&2
        exit 2
    elif [[ $host =~ ^[0-9.]+$ || $host == *:* ]]; then
        names="$names,IP:$host"
    else
        names="$names,DNS:$host"
    fi
done
file="${1//\*/_}"
file="${file//:/_}"
if [ "$file" = ca ]; then
    echo "A host called ca would overwrite the CA: name another host first." >&2
    exit 2
fi

mkdir -p "$directory"
cd "$directory"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

if [ ! -e ca.pem ] || [ ! -e ca.key ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -out ca.pem \
        -subj "/CN=Vestibule development CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
fi

# The new pair is created elsewhere and moved into place, key first, so a gateway that watches the files
# reads a mismatched pair for a moment at most.
openssl ecparam -name prime256v1 -genkey -noout -out "$scratch/leaf.key"
openssl req -new -key "$scratch/leaf.key" -subj "/CN=Vestibule development" -out "$scratch/leaf.csr"
cat >"$scratch/extensions" <<EXTENSIONS
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${names#,}
EXTENSIONS
# Clients refuse certificates that are valid for more than 825 days.
openssl x509 -req -in "$scratch/leaf.csr" -CA ca.pem -CAkey ca.key -sha256 -days 800 \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$scratch/extensions" \
    -out "$scratch/leaf.pem" 2>"$scratch/said" || { cat "$scratch/said" >&2; exit 1; }
chmod 600 ca.key "$scratch/leaf.key"
chmod 644 ca.pem "$scratch/leaf.pem"
mv "$scratch/leaf.key" "$file.key"
mv "$scratch/leaf.pem" "$file.pem"
echo "trust:       $PWD/ca.pem"
echo "certificate: $PWD/$file.pem"
echo "key:         $PWD/$file.key"
