#!/bin/sh
# The status page: what the guest is and has, one name=value a line.
export PATH=/bin:/sbin
memory() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }
disks() { for disk in /sys/block/*; do case $disk in *ram*|*loop*) ;; *) echo "${disk##*/}:$(cat $disk/size)" ;; esac; done; }
echo "Content-Type: text/plain"
echo
echo "hostname=$(hostname)"
echo "uptime=$(cut -d' ' -f1 /proc/uptime)"
echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
echo "cpus=$(nproc)"
echo "memtotal_kb=$(memory MemTotal)"
echo "memfree_kb=$(memory MemFree)"
echo "nics=$(echo $(ls /sys/class/net))"
echo "addresses=$(echo $(ip -4 -o addr | awk '{ print $2 ":" $4 }'))"
echo "disks=$(echo $(disks))"
echo "root=$(df -k / | tail -n 1)"
