#!/bin/sh
# Give this machine a libvirt that answers on qemu:///system, also where there is no systemd, dbus or polkit.
#
#   scripts/libvirtd.sh start  [DIR]   nothing to do when one answers already; else systemd's, else a libvirtd of our own
#   scripts/libvirtd.sh status [DIR]   exit 0 when one answers, 1 when none does; says whose it is
#   scripts/libvirtd.sh stop   [DIR]   ends the libvirtd that `start` made (guests run on), never another one
#
# DIR (default /var/lib/onecore) gets DIR/libvirt/: libvirtd.conf, qemu.conf, pid, log, host_uuid.  Run as root.
# libvirtd has no option for the place of qemu.conf: where /etc/libvirt/qemu.conf is missing it is made (and removed by
# `stop`); where an administrator has one, ours is laid over it in a mount namespace that only our libvirtd sees.
set -eu
uri=qemu:///system
here=$(cd "$(dirname "$0")" && pwd)
action=${1:-status}
dir=$(realpath -m "${2:-/var/lib/onecore}")/libvirt
pidfile=$dir/pid
system_conf=/etc/libvirt/qemu.conf
mark='# Made by scripts/libvirtd.sh of onecore; removed when it stops.'

answers() { timeout 60 virsh -q -c "$uri" version >/dev/null 2>&1; } # no daemon says no at once, a busy one has time
die() { echo "libvirtd: $*" >&2; exit 1; }

ours() {
    [ -s "$pidfile" ] && pid=$(cat "$pidfile") && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = libvirtd ] \
        && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$dir/libvirtd.conf"
}

make_accounts() {
    for group in kvm libvirt-qemu libvirt; do
        getent group $group >/dev/null || groupadd -r $group
    done
    getent passwd libvirt-qemu >/dev/null \
        || useradd -r -g libvirt-qemu -G kvm -d /var/lib/libvirt -s /usr/sbin/nologin libvirt-qemu
}

controllers() {
    list=
    for name in cpu cpuacct cpuset blkio; do
        if [ -w "/sys/fs/cgroup/$name" ] || grep -qsw "$name" /sys/fs/cgroup/cgroup.controllers; then
            list="$list${list:+, }\"$name\""
        fi
    done
    echo "$list"
}

write_config() {
    mkdir -p "$dir"
    [ -s "$dir/host_uuid" ] || cat /proc/sys/kernel/random/uuid > "$dir/host_uuid"
    cat > "$dir/libvirtd.conf" <<CONF
host_uuid = "$(cat "$dir/host_uuid")"
unix_sock_group = "libvirt"
unix_sock_ro_perms = "0770"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "3:file:$dir/log"
CONF
    cat > "$dir/qemu.conf" <<CONF
$mark
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
seccomp_sandbox = 0
stdio_handler = "file"
cgroup_controllers = [ $(controllers) ]
CONF
}

remove_system_conf() {
    if [ -f $system_conf ] && [ "$(head -n 1 $system_conf)" = "$mark" ]; then rm -f $system_conf; fi
}

# libvirtd in the background, below a process that reaps the guests that end
run() { setsid "$@" </dev/null >"$dir/start.log" 2>&1 & }

launch() {
    rm -f "$pidfile"
    remove_system_conf
    set -- python3 "$here/reap.py" libvirtd -f "$dir/libvirtd.conf" --pid-file "$pidfile"
    if [ -e $system_conf ]; then
        run unshare --mount --propagation slave sh -c 'mount --bind "$0" "$1" && shift && exec "$@"' \
            "$dir/qemu.conf" $system_conf "$@"
    else
        mkdir -p /etc/libvirt
        cp "$dir/qemu.conf" $system_conf
        run "$@"
    fi
    launched=$!
}

start() {
    if answers; then return 0; fi
    [ "$(id -u)" = 0 ] || die "$uri does not answer, and starting libvirtd needs root"
    if [ -d /run/systemd/system ]; then
        systemctl start libvirtd.service 2>/dev/null || systemctl start virtqemud.socket 2>/dev/null || true
        if answers; then return 0; fi
    fi
    command -v python3 >/dev/null || die "python3 is not installed"
    command -v libvirtd >/dev/null || die "not installed: apt-get install libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients"
    make_accounts
    write_config
    launch
    tries=0
    until answers; do
        tries=$((tries + 1))
        [ -d "/proc/$launched" ] || die "did not start: $(tail -n 3 "$dir/start.log" "$dir/log" 2>/dev/null)"
        [ $tries -lt 80 ] || die "does not answer on $uri; see $dir/log"
        sleep 0.25
    done
}

stop() {
    if ours; then
        kill "$pid"
        tries=0
        while [ -d "/proc/$pid" ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
        [ ! -d "/proc/$pid" ] || die "process $pid does not end"
        rm -f "$pidfile"
        remove_system_conf
    fi
}

status() {
    answers || { echo "$uri does not answer"; return 1; }
    if ours; then echo "$uri answers (libvirtd of $dir, pid $pid)"; else echo "$uri answers (not started by this script)"; fi
}

case $action in
    start) start; status ;;
    stop) stop ;;
    status) status ;;
    *) die "usage: libvirtd.sh start|stop|status [DIR]" ;;
esac
