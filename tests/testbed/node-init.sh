#!/bin/bash
# Second half of a simulated host's first process: makes the root file system, the network and the daemons, says "ready"
# on stdout, then reaps orphans until it is killed.  Waits for a line on stdin before it touches its network cards.
#
#   node-init.sh BED INDEX NODES MANAGEMENT GUESTS MEMORY_MB TCP
#
# BED is the bed's directory, MANAGEMENT and GUESTS are the first three numbers of its networks, MEMORY_MB is 0 for the
# machine's own, TCP is 1 for a libvirtd that listens.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bed=$1 index=$2 nodes=$3 management=$4 guests=$5 memory_mb=$6 tcp=$7
own=$bed/node$index
disk=$own/disk
root=$own/root
private="tmp var/tmp root var/lib/one var/lib/libvirt etc/libvirt"

mount_root() { # the machine's own root below a disk of the host's; what follows from here on lies on that disk
    mkdir -p "$disk" "$root"
    mount -o loop,noatime,noinit_itable "$own/disk.img" "$disk"
    mkdir -p "$disk/upper" "$disk/work"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
}

mount_private() { # directories whose files on the front-end are none of the host's business
    local path
    for path in $private; do
        mkdir -p "$disk/private/$path" "$root/$path"
        mount --bind "$disk/private/$path" "$root/$path"
    done
    chmod 1777 "$root/tmp" "$root/var/tmp"
    chmod 700 "$root/root"
}

mount_front() { # what front-end and host share: the host's log files, and three of the datastores
    local number
    mkdir -p "$own/log/libvirt/qemu"
    mount --bind "$own/log" "$root/var/log"
    for number in 0 1 2; do
        mkdir -p "$root$bed/home/datastores/$number"
        mount --bind "$bed/home/datastores/$number" "$root$bed/home/datastores/$number"
    done
}

mount_kernel() {
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs -o mode=755,size=256m tmpfs "$root/run"
    mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
}

make_devices() { # no /dev/kvm: guests are emulated; no loop devices: they would outlive the host
    local dev=$root/dev name major minor
    while read -r name major minor; do mknod -m 666 "$dev/$name" c "$major" "$minor"; done << END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
    mkdir -p "$dev/pts" "$dev/shm" "$dev/net"
    mknod -m 666 "$dev/net/tun" c 10 200
    mknod -m 666 "$dev/fuse" c 10 229
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$dev/shm"
    for name in ptmx:pts/ptmx fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
        ln -s "${name#*:}" "$dev/${name%%:*}"
    done
}

mount_groups() { # the host's own control groups, as a machine without systemd has them
    local groups=$root/sys/fs/cgroup name
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        mount -t cgroup2 cgroup2 "$groups"
        mkdir -p "$groups/init"
        echo 0 > "$groups/init/cgroup.procs"
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs "$groups"
    for name in cpu cpuacct cpuset blkio devices freezer pids memory; do
        [ -d "/sys/fs/cgroup/$name" ] || continue
        mkdir "$groups/$name"
        mount -t cgroup -o "$name" cgroup "$groups/$name" || echo "no control group $name" >&2
    done
}

enter_root() {
    install -D -m 755 "$here/node-daemon.sh" "$root/run/testbed/daemon"
    install -m 644 "$here/deaf.py" "$own/key.pub" "$own/ssh_host_ed25519_key.pub" "$root/run/testbed/"
    install -m 600 "$own/ssh_host_ed25519_key" "$root/run/testbed/"
    mkdir -p "$root/run/testbed/disk"
    mount --bind "$disk" "$root/run/testbed/disk"
    cd "$root"
    mkdir -p .old
    pivot_root . .old
    cd /
    umount -l /.old
}

make_identity() { # name, machine id, who is called what
    local id number
    id=$(printf %s "$management.$index" | md5sum)
    uuid=${id:0:8}-${id:8:4}-4${id:13:3}-8${id:17:3}-${id:20:12}
    hostname "node$index"
    echo "node$index" > /etc/hostname
    rm -f /etc/machine-id /etc/resolv.conf
    echo "${uuid//-/}" > /etc/machine-id
    : > /etc/resolv.conf
    { echo "127.0.0.1 localhost"; echo "$management.1 frontend"
      for number in $(seq 1 "$nodes"); do echo "$management.$((10 + number)) node$number"; done; } > /etc/hosts
}

make_accounts() { # the Debian package libvirt-daemon makes no users; the QEMU driver wants them
    local group
    for group in kvm libvirt-qemu libvirt; do getent group $group > /dev/null || groupadd -r $group; done
    getent passwd libvirt-qemu > /dev/null \
        || useradd -r -g libvirt-qemu -G kvm -d /var/lib/libvirt -s /usr/sbin/nologin libvirt-qemu
    getent passwd oneadmin > /dev/null \
        || useradd -r -M -d /var/lib/one -s /bin/bash -G libvirt,kvm -p '*' oneadmin
    chown oneadmin: /var/lib/one
    install -d -m 700 /root/.ssh
    install -m 600 /run/testbed/key.pub /root/.ssh/authorized_keys
    install -d -o oneadmin -g oneadmin -m 700 /var/lib/one/.ssh
    install -o oneadmin -g oneadmin -m 600 /run/testbed/key.pub /var/lib/one/.ssh/authorized_keys
}

fake_memory() { # what probes and libvirt's nodeinfo read
    local node=/sys/devices/system/node/node0/meminfo kb=$((memory_mb * 1024))
    awk -v kb=$kb '/^MemTotal/ { $2 = kb } /^Mem(Free|Available)/ { $2 = int(kb * 0.9) }
        { printf "%-16s%8d kB\n", $1, $2 }' /proc/meminfo > /run/testbed/meminfo
    mount --bind /run/testbed/meminfo /proc/meminfo
    [ -f $node ] || return 0
    sed -E "s/(MemTotal: *)[0-9]+/\1$kb/; s/(MemFree: *)[0-9]+/\1$((kb * 9 / 10))/" $node > /run/testbed/meminfo0
    mount --bind /run/testbed/meminfo0 $node
}

connect() { # eth0 for management, eth1 below the guests' bridge; forward_delay 0 or guests wait for half a minute
    read -r _
    ip -batch - << END
link set lo up
address add $management.$((10 + index))/24 dev eth0
link set eth0 up
link add onebr address $(cat /sys/class/net/eth1/address) type bridge forward_delay 0
link set eth1 master onebr
link set eth1 up
address add $guests.$((10 + index))/24 dev onebr
link set onebr up
END
}

configure_sshd() {
    rm -f /etc/ssh/ssh_host_*
    mkdir -p /run/sshd
    cat > /run/testbed/sshd_config << END
ListenAddress $management.$((10 + index))
HostKey /run/testbed/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 100
SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
END
}

configure_libvirtd() {
    mkdir -p /run/libvirt /etc/libvirt/qemu
    cat > /etc/libvirt/libvirtd.conf << END
host_uuid = "$uuid"
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
listen_tls = 0
listen_tcp = $tcp
listen_addr = "$management.$((10 + index))"
auth_tcp = "none"
log_level = 3
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
END
    cat > /etc/libvirt/qemu.conf << END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
seccomp_sandbox = 0
stdio_handler = "file"
cgroup_controllers = [ "cpu", "cpuacct", "cpuset", "blkio" ]
vnc_listen = "0.0.0.0"
migration_host = "$management.$((10 + index))"
migration_address = "0.0.0.0"
END
}

mount_root
mount_private
mount_front
mount_kernel
make_devices
mount_groups
enter_root
export HOME=/root
make_identity
make_accounts
[ "$memory_mb" = 0 ] || fake_memory
configure_sshd
configure_libvirtd
[ "$tcp" = 0 ] || touch /run/testbed/listen
connect
/run/testbed/daemon sshd
/run/testbed/daemon libvirtd
echo ready
exec > /dev/null < /dev/null
while :; do sleep 3600 & wait $! || true; done
