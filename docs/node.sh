#!/bin/sh
# node.sh NODE [ROLES]   runs one node of the cluster that three-nodes.sh starts, until Ctrl-C or SIGTERM: clients on
# localhost:909(NODE+1), ROLES broker,controller unless said otherwise. FOLDER (./three-nodes) keeps its configuration, its
# data and its log. `cargo build --release` comes first.
set -eu
node=$1 roles=${2:-broker,controller}
cd "$(dirname "$0")/.."
folder=${FOLDER:-$PWD/three-nodes}
client=$((9091 + node)) controller=$((19091 + node))
listeners=PLAINTEXT://localhost:$client
case $roles in *controller*) listeners=$listeners,CONTROLLER://localhost:$controller ;; esac
mkdir -p "$folder"
cat >"$folder/node$node.properties" <<EOF
node.id=$node
process.roles=$roles
listeners=$listeners
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=localhost:19092,localhost:19093,localhost:19094
log.dirs=$folder/node$node
default.replication.factor=3
min.insync.replicas=2
EOF
echo "node $node: process $$, clients on localhost:$client, log in $folder/node$node.log"
exec target/release/drave "$folder/node$node.properties" >>"$folder/node$node.log" 2>&1
