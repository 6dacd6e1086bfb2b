#!/usr/bin/env bash
# Every .c and .h file looks as .clang-format says.
set -euo pipefail
cd "$(dirname "$0")/../.."

formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$formatter" ]; then
    echo "clang-format is not installed (docker/packages.txt): skipped"
    exit 77
fi
mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' 2>/dev/null ||
    find common server client tests \( -name '*.c' -o -name '*.h' \) 2>/dev/null)
existing=()
for file in "${files[@]}"; do
    if [ -f "$file" ]; then
        existing+=("$file")
    fi
done
if [ ${#existing[@]} -eq 0 ]; then
    exit 0
fi
if ! "$formatter" --dry-run -Werror "${existing[@]}"; then
    echo "To repair: $(basename "$formatter") -i FILE"
    exit 1
fi
