#!/bin/sh
# three-nodes.sh   builds Drave, and runs three nodes on this machine until Ctrl-C: clients use
# localhost:9092,localhost:9093,localhost:9094. What each node is, and what PORT and FOLDER change, says node.sh.
set -eu
cd "$(dirname "$0")/.."
cargo build --release
pids=
for node in 1 2 3; do
  docs/node.sh $node &
  pids="$pids $!"
done
# One that was stopped before is no process any more.
trap 'kill $pids 2>/dev/null || true; wait' INT TERM
wait
