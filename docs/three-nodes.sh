#!/bin/sh
# three-nodes.sh   builds Drave, and runs three nodes on this machine until Ctrl-C: clients use
# localhost:9092,localhost:9093,localhost:9094. FOLDER (./three-nodes) keeps their data and logs.
set -eu
cd "$(dirname "$0")/.."
cargo build --release
pids=
for node in 1 2 3; do
  docs/node.sh $node &
  pids="$pids $!"
done
trap 'kill $pids; wait' INT TERM
wait
