#!/bin/sh
# three-nodes.sh [FOLDER]   builds Drave, and runs three nodes on this machine until Ctrl-C: clients use
# localhost:9092,localhost:9093,localhost:9094. FOLDER (./three-nodes) keeps their data and logs.
set -eu
folder=${1:-three-nodes}
cd "$(dirname "$0")/.."
cargo build --release
mkdir -p "$folder"
voters=1@localhost:19092,2@localhost:19093,3@localhost:19094
pids=
for node in 1 2 3; do
  client=$((9091 + node)) controller=$((19091 + node))
  target/release/drave \
    --override node.id=$node --override log.dirs="$folder/node$node" \
    --override controller.quorum.voters=$voters --override controller.listener.names=CONTROLLER \
    --override listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
    --override listeners=PLAINTEXT://localhost:$client,CONTROLLER://localhost:$controller \
    --override default.replication.factor=3 --override min.insync.replicas=2 \
    >>"$folder/node$node.log" 2>&1 &
  pids="$pids $!"
  echo "node $node: process $!, clients on localhost:$client, log in $folder/node$node.log"
done
trap 'kill $pids; wait' INT TERM
wait
