#!/bin/bash
# Starts a daemon of a simulated host, in the host's control groups: /run/testbed/daemon sshd|libvirtd|deaf
# deaf stands in for an sshd that takes connections and never answers.
set -euo pipefail

for group in /sys/fs/cgroup/init /sys/fs/cgroup/*; do
    [ ! -e "$group/cgroup.procs" ] || echo 0 > "$group/cgroup.procs"
    [ "$group" != /sys/fs/cgroup/init ] || [ ! -d "$group" ] || break
done

case $1 in
    sshd) /usr/sbin/sshd -f /run/testbed/sshd_config -E /var/log/sshd.log ;;
    libvirtd)
        options=()
        [ ! -e /run/testbed/listen ] || options=(--listen)
        libvirtd "${options[@]}" --daemon --pid-file /run/libvirtd.pid ;;
    deaf) /usr/bin/python3 /run/testbed/deaf.py "$(awk '$1 == "ListenAddress" { print $2 }' /run/testbed/sshd_config)" ;;
    *) echo "unknown daemon $1" >&2; exit 2 ;;
esac > /dev/null < /dev/null
