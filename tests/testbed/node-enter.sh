#!/bin/bash
# First half of a simulated host's first process: tells its process id as the front-end sees it (on stdout), enters the
# control groups of the host, and goes on as node-init.sh in a control group namespace that begins there.
#
#   node-enter.sh BED INDEX ...        the arguments are handed on; run in new mount, PID and network namespaces
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bed=$(basename "$1")
groups=/sys/fs/cgroup

enter_unified() { # cgroup v2: what controllers the machine lets go
    local level name
    mkdir -p "$groups/$bed/node$1"
    for level in "$groups" "$groups/$bed"; do
        for name in cpu cpuset io pids memory; do
            (echo "+$name" > "$level/cgroup.subtree_control") 2> /dev/null || true
        done
    done
    echo 0 > "$groups/$bed/node$1/cgroup.procs"
}

enter_each() { # cgroup v1: a hierarchy a controller
    local name path file
    for name in cpu cpuacct cpuset blkio devices freezer pids; do
        [ -d "$groups/$name" ] || continue
        for path in "$groups/$name/$bed" "$groups/$name/$bed/node$1"; do
            mkdir -p "$path"
            [ "$name" = cpuset ] || continue
            for file in cpuset.cpus cpuset.mems; do cat "$groups/cpuset/$file" > "$path/$file"; done
        done
        echo 0 > "$path/cgroup.procs"
    done
}

read -r pid _ < /proc/self/stat   # /proc is still the front-end's
echo "$pid"
if [ -e "$groups/cgroup.controllers" ]; then enter_unified "$2"; else enter_each "$2"; fi
exec unshare --cgroup /bin/bash "$here/node-init.sh" "$@"
