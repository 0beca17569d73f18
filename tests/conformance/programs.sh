#!/bin/sh
# The programs that these tests talk to: root installs what is missing, others are told what to ask for.
set -eu
PATH=$PATH:/usr/sbin:/sbin
missing=
for each in nginx:nginx-light curl:curl openssl:openssl systemd-analyze:systemd useradd:passwd su:util-linux postfix:postfix; do
    command -v "${each%%:*}" >/dev/null || missing="$missing ${each#*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make conformance needs these Debian packages:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # at this level no service starts by being installed
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing
