#!/bin/sh
# The programs that tests talk to: root installs what is missing, others are told what to ask for.
# usage: tests/programs.sh [--where-possible] PROGRAM:PACKAGE...
# --where-possible: where nothing can be installed, go on; the tests say then what they leave out.
set -eu
PATH=$PATH:/usr/sbin:/sbin
must=1
if [ "$1" = --where-possible ]; then
    must=
    shift
fi
missing=
for each in "$@"; do
    command -v "${each%%:*}" >/dev/null || missing="$missing ${each#*:}"
done
[ -n "$missing" ] || exit 0
give_up() {
    echo "these Debian packages are missing:$missing" >&2
    [ -z "$must" ] || exit 1
    exit 0
}
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    give_up
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # at this level no service starts by being installed
# shellcheck disable=SC2086 # a list of words
apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing || give_up
