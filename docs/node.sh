#!/bin/sh
# node.sh NODE [ROLES]   runs one node of the cluster that three-nodes.sh starts, until Ctrl-C or SIGTERM, and says when it
#                        serves. ROLES are broker,controller unless said otherwise. `cargo build --release` comes first.
# node.sh NODE stop      stops it (SIGTERM), and returns once it has ended.
# Clients of node 1 use localhost:PORT (9092), of node 2 the next port, and so on; controllers have those that are 10,000 higher.
# FOLDER (./three-nodes) keeps configuration, data and log.
set -eu
node=$1 roles=${2:-broker,controller}
cd "$(dirname "$0")/.."
folder=${FOLDER:-$PWD/three-nodes} first=${PORT:-9092}
client=$((first + node - 1)) controller=$((first + 10000 + node - 1))
name=$folder/node$node
command="target/release/drave $name.properties"

# Its process, if it runs.
process() {
  ps -ww -A -o pid= -o args= | awk -v of="$command" '{ pid = $1; sub(/^ *[0-9]+ +/, "") } $0 == of { print pid }'
}

stop() {
  pid=$(process)
  [ -n "$pid" ] || { echo "node $node does not run"; exit 1; }
  kill "$pid"
  while [ -n "$(process)" ]; do sleep 0.1; done
}

# Says what becomes of the process that this one turns into.
watch() {
  while sleep 0.2 && kill -0 $$ 2>/dev/null; do
    if target/release/drave --probe "localhost:$1" 2>/dev/null; then
      echo "node $node serves on localhost:$1"
      return
    fi
  done
  echo "node $node has ended: $name.log says why"
}

[ "$roles" != stop ] || { stop; exit; }
[ -z "$(process)" ] || { echo "node $node runs already"; exit 1; }
listeners= serves=$controller
case $roles in *controller*) listeners=CONTROLLER://localhost:$controller ;; esac
case $roles in *broker*) listeners=PLAINTEXT://localhost:$client${listeners:+,$listeners} serves=$client ;; esac
mkdir -p "$folder"
cat >"$name.properties" <<END
node.id=$node
process.roles=$roles
listeners=$listeners
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=localhost:$((first + 10000)),localhost:$((first + 10001)),localhost:$((first + 10002))
log.dirs=$name
default.replication.factor=3
min.insync.replicas=2
END
echo "node $node: process $$, log in $name.log"
# A process of nobody's, as the node would not wait for its end.
(watch "$serves" &)
exec target/release/drave "$name.properties" >>"$name.log" 2>&1
