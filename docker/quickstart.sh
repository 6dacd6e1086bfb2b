#!/usr/bin/env bash
# From a fresh Debian 12 machine to a table full of rows: installs packages, builds, starts cellard,
# imports this machine's package index into a table of four tablets and shows some reads.
#
#   docker/quickstart.sh                  leaves the server running; data in ./cellar-data
#   CELLAR_LISTEN=127.0.0.1:0 CELLAR_DATA_DIR=/tmp/x docker/quickstart.sh
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
bin=$root/build/release/bin
data_dir=${CELLAR_DATA_DIR:-$root/cellar-data}
listen=${CELLAR_LISTEN:-127.0.0.1:8086}

show() {
    echo
    echo "\$ cellar $*"
    "$bin/cellar" "$@"
}

start_server() {
    local port_file
    port_file=$(mktemp)
    rm -f "$port_file"
    "$bin/cellard" --listen "$listen" --data-dir "$data_dir" --port-file "$port_file" \
        >"$root/build/cellard.out" 2>"$root/build/cellard.log" &
    server=$!
    until [ -s "$port_file" ]; do
        if ! kill -0 "$server" 2>/dev/null; then
            cat "$root/build/cellard.out" "$root/build/cellard.log" >&2
            echo "quickstart.sh: CELLAR_LISTEN and CELLAR_DATA_DIR name another address and directory" >&2
            exit 1
        fi
        sleep 0.1
    done
    export CELLAR_ENDPOINT=${listen%:*}:$(cat "$port_file")
    rm -f "$port_file"
}

# The package index files that apt keeps, as apt names them.
index_files() {
    apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' 2>/dev/null || true
}

import_index() {
    local file seconds
    while read -r file; do
        [ -e "$file" ] || continue
        seconds=$(stat -c %Y "$file")
        echo
        echo "\$ apt-helper cat-file $file | cellar import packages - --format deb822"
        /usr/lib/apt/apt-helper cat-file "$file" |
            "$bin/cellar" import packages - --format deb822 --timestamp "${seconds}000000"
    done < <(index_files)
}

main() {
    docker/install.sh build
    cmake --preset release -DBUILD_TESTING=OFF >/dev/null
    cmake --build --preset release --target cellard_program cellar_program
    start_server
    show ping
    if ! "$bin/cellar" table describe packages >/dev/null 2>&1; then
        show table create packages --family f --family d --split g --split libm --split p
    fi
    import_index
    show count packages
    show get packages bash --column f:Version --column d:Depends
    show scan packages --prefix zst --column f:Description
    echo
    echo "cellard (process $server) serves on $CELLAR_ENDPOINT; data in $data_dir; stop it with: kill $server"
    echo "the tool is $bin/cellar; try: $bin/cellar help"
}

main
