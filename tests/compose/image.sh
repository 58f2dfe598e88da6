#!/bin/sh
# image.sh BINARY   makes the image `drave` from a binary of this machine, where no base image can be pulled. What it holds and
# how it starts is as in the Dockerfile.
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
"$(dirname "$0")/root.sh" "${1:?}" "$root"
chown -R 1000:1000 "$root/var/lib/drave"
tar -C "$root" -c . | docker import \
  -c 'USER 1000:1000' -c 'ENV KAFKA_LOG_DIRS=/var/lib/drave' -c 'VOLUME /var/lib/drave' \
  -c 'ENTRYPOINT ["/drave"]' - drave
