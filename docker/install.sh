#!/usr/bin/env bash
# Installs the Debian packages of packages.txt that are missing, on Debian 12.
#
#   docker/install.sh             what is needed to build and test: the kinds build and test
#   docker/install.sh KIND ...    these kinds; packages.txt says which there are
set -euo pipefail
cd "$(dirname "$0")"

# The packages of the kinds, one a line.
packages_of() {
    local kind
    for kind in "$@"; do
        if ! grep -q "^$kind " packages.txt; then
            echo "install.sh: packages.txt has no packages of the kind '$kind'" >&2
            return 2
        fi
        awk -v kind="$kind" '$1 == kind {print $2}' packages.txt
    done
}

main() {
    local wanted missing=() package sudo=()
    if [ $# -eq 0 ]; then
        set -- build test
    fi
    wanted=$(packages_of "$@")
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: the packages of docker/packages.txt must be there already"
        return
    fi
    for package in $wanted; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
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
