#!/bin/sh
# All tests; with a second Python, those without servers under that one while the first has come to the servers, and mostly waits.
# usage: tests/run.sh PYTHON [SECOND PYTHON]
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ $# -gt 1 ]; then
    (
        until grep -qs "^tests/process/" "$folder/first" || [ -e "$folder/code" ]; do sleep 1; done
        exec "$2" -m pytest tests/unit tests/wire
    ) >"$folder/second" 2>&1 &
    second=$!
fi
# Shown as it comes, and kept for its last line. A pipe hides how it ended.
{
    "$1" -m pytest
    echo $? >"$folder/code"
} 2>&1 | tee "$folder/first"
code=$(cat "$folder/code")
if [ $# -gt 1 ]; then
    if wait "$second"; then
        echo "$("$2" --version): $(tail -n 1 "$folder/second")"
    else
        tail -n 100 "$folder/second"
        [ "$code" = 0 ] && code=1
    fi
    tail -n 1 "$folder/first"
fi
exit "$code"
