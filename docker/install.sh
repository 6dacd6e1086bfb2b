#!/usr/bin/env bash
# Installs the Debian packages of docker/packages.txt that are missing, on Debian 12.
#
#   docker/install.sh             what is needed to build, test and run
#   docker/install.sh run         only what the programs need to run
set -euo pipefail
cd "$(dirname "$0")"

main() {
    local kind=${1:-build} missing=() package sudo=()
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: the packages of docker/packages.txt must be there already"
        return
    fi
    while read -r package; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done < <(awk -v kind="$kind" '$1 == kind {print $2}' packages.txt)
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    echo "installing: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

main "$@"
