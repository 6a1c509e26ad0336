#!/bin/bash
# Builds the tiny guest into OUTDIR: tiny.qcow2 (a bootable disk), vmlinuz and initrd.img (the same guest, booted directly).
# Needs no root and no loop devices.  Does nothing when OUTDIR is up to date; a result appears only when complete.
set -euo pipefail

usage="usage: guest-image.sh OUTDIR"
boot_mb=20        # FAT: boot loader, kernel, initrd
root_mb=36        # ext4: the guest's own disk, label tinyroot
modules="virtio_pci virtio_blk virtio_net virtio_scsi virtio_balloon virtio_console virtio_rng
         ext4 ata_piix ahci sr_mod sd_mod isofs button evdev"
here=$(cd "$(dirname "$0")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin

say() { echo "guest-image: $*" >&2; }
fail() { say "$*"; exit 1; }

check_tools() { # every missing tool at once, with the packages that bring them
    local missing=() tool
    while read -r tool package; do
        [ -e "$tool" ] || command -v "$tool" > /dev/null || missing+=("$package")
    done <<< "$(tools)"
    [ ${#missing[@]} = 0 ] && return
    fail "missing: $(printf '%s\n' "${missing[@]}" | sort -u | xargs). As root: apt-get install -y $(printf '%s\n' "${missing[@]}" | sort -u | xargs)"
}

tools() {
    cat <<END
apt-get apt
dpkg-deb dpkg
busybox busybox-static
depmod kmod
cpio cpio
gzip gzip
mke2fs e2fsprogs
resize2fs e2fsprogs
mkfs.vfat dosfstools
mcopy mtools
syslinux syslinux
/usr/lib/SYSLINUX/mbr.bin syslinux
sfdisk fdisk
qemu-img qemu-utils
flock util-linux
END
}

check_machine() {
    [ "$(dpkg --print-architecture)" = amd64 ] || fail "the guest image is for amd64; this machine is $(dpkg --print-architecture)"
    ldd "$(command -v busybox)" > /dev/null 2>&1 && fail "busybox is not static. As root: apt-get install -y busybox-static"
    return 0
}

fingerprint() { # of everything in the checkout that the image is made from
    (cd "$here" && find guest-image.sh guest -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}

kernel_packages() { # the newest kernel for virtual machines, with its modules where they are a package of their own
    local meta image
    for meta in linux-image-cloud-amd64 linux-image-virtual; do
        image=$(apt-cache depends "$meta" 2> /dev/null | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
        [ -n "$image" ] || continue
        echo "$image"
        apt-cache depends "$image" | awk '/Depends: linux-modules-[0-9]/ { print $2; exit }'
        return
    done
}

fetch_kernel() { # unpack the kernel below $1; downloads are kept for the next build
    local cache=$out/cache packages
    if ! ls "$cache"/*.deb > /dev/null 2>&1; then
        packages=$(kernel_packages)
        [ -n "$packages" ] || fail "apt knows no kernel package. As root: apt-get update"
        rm -rf "$cache.new" && mkdir -p "$cache.new"
        # shellcheck disable=SC2086
        (cd "$cache.new" && apt-get -q download $packages > log 2>&1) \
            || fail "the kernel could not be downloaded: $(tail -n 1 "$cache.new/log"). As root: apt-get update"
        rm -rf "$cache" && mv "$cache.new" "$cache"
    fi
    for package in "$cache"/*.deb; do dpkg-deb -x "$package" "$1"; done
}

add_agent() { # QEMU's guest agent below $1, with its libraries; a guest without one is good for most
    local cache=$out/agent binary library
    if ! ls "$cache"/*.deb > /dev/null 2>&1; then
        rm -rf "$cache.new" && mkdir -p "$cache.new"
        (cd "$cache.new" && apt-get -q download qemu-guest-agent > log 2>&1) \
            || { say "no qemu-guest-agent, the guest has none: $(tail -n 1 "$cache.new/log")"; return 0; }
        rm -rf "$cache" && mv "$cache.new" "$cache"
    fi
    for package in "$cache"/*.deb; do dpkg-deb -x "$package" "$2"; done
    binary=$2/usr/sbin/qemu-ga
    ldd "$binary" | grep -q 'not found' && { say "qemu-guest-agent lacks libraries here, the guest has none"; return 0; }
    cp "$binary" "$1/sbin/"
    copy_libraries "$1" "$binary"
}

copy_libraries() { # the libraries of program $2 below $1
    local library
    for library in $(ldd "$2" | grep -o '/[^ ]*'); do
        mkdir -p "$1$(dirname "$library")"
        cp -L "$library" "$1$library"
    done
}

copy_modules() { # the modules with all they depend on, unpacked, to $2/lib/modules, in loading order; $1 holds the kernel
    local version=$3 name file
    [ -d "$1/lib/modules" ] || { mkdir -p "$1/lib" && ln -s ../usr/lib/modules "$1/lib/modules"; }
    depmod -b "$1" "$version"
    for name in $modules; do modprobe -d "$1" -S "$version" --show-depends "$name" 2> /dev/null || true; done \
        | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
            name=$(basename "$file")
            case $name in
                *.xz) name=${name%.xz}; xz -dc "$file" > "$2/lib/modules/$name" ;;
                *.zst) name=${name%.zst}; zstd -qdc "$file" > "$2/lib/modules/$name" ;;
                *) cp "$file" "$2/lib/modules/$name" ;;
            esac
            echo "$name" >> "$2/lib/modules/order"
        done
    [ -s "$2/lib/modules/order" ] || fail "no modules found for kernel $version"
}

make_tree() { # the guest's files below $1
    local applet
    mkdir -p "$1"/{bin,sbin,proc,sys,dev,run,tmp,mnt,newroot,root,var,etc,lib/modules,usr}
    ln -s ../bin ../sbin "$1/usr/"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"; done
    for applet in init poweroff reboot halt; do ln -s ../bin/busybox "$1/sbin/$applet"; done
    cp -R "$here/guest/." "$1/"
    chmod -R u+rwX,go+rX "$1"
    chmod 755 "$1/init" "$1"/etc/init.d/* "$1/etc/acpi/PWRF/00000080" "$1/www/cgi-bin/index.cgi"
    echo root::0:0:root:/root:/bin/sh > "$1/etc/passwd"
    echo root:x:0: > "$1/etc/group"
    echo tiny > "$1/etc/hostname"
    ln -s /run/resolv.conf "$1/etc/resolv.conf"
}

add_resize2fs() { # with its libraries: busybox has no such tool
    cp "$(command -v resize2fs)" "$1/sbin/"
    copy_libraries "$1" "$(command -v resize2fs)"
}

make_boot() { # FAT file system $1 with boot loader, kernel $2, initrd $3
    truncate -s ${boot_mb}M "$1"
    mkfs.vfat -n TINYBOOT -h 2048 "$1" > /dev/null
    cat > "$1.cfg" <<END
SERIAL 0 115200
DEFAULT tiny
PROMPT 0
LABEL tiny
  LINUX vmlinuz
  INITRD initrd.img
  APPEND root=LABEL=tinyroot console=tty0 console=ttyS0 quiet mitigations=off no_timer_check cryptomgr.notests tsc=reliable random.trust_cpu=on
END
    mcopy -i "$1" "$2" ::vmlinuz
    mcopy -i "$1" "$3" ::initrd.img
    mcopy -i "$1" "$1.cfg" ::syslinux.cfg
    syslinux --install "$1"
}

make_disk() { # raw disk $1: boot record, boot file system $2, root made from the tree $3
    truncate -s ${root_mb}M "$1.root"
    mke2fs -q -t ext4 -L tinyroot -m 0 -J size=4 -E root_owner=0:0 -d "$3" "$1.root"
    truncate -s $((boot_mb + root_mb + 1))M "$1"
    printf 'label: dos\nstart=2048, size=%d, type=e, bootable\nstart=%d, type=83\n' \
        $((boot_mb * 2048)) $((boot_mb * 2048 + 2048)) | sfdisk --quiet "$1"
    dd if=/usr/lib/SYSLINUX/mbr.bin of="$1" conv=notrunc status=none
    dd if="$2" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
    dd if="$1.root" of="$1" bs=1M seek=$((boot_mb + 1)) conv=notrunc,sparse status=none
}

build() { # everything in the scratch folder $1, then into place
    local kernel=$1/kernel tree=$1/tree version
    fetch_kernel "$kernel"
    version=$(basename "$kernel"/boot/vmlinuz-*)
    version=${version#vmlinuz-}
    make_tree "$tree"
    copy_modules "$kernel" "$tree" "$version"
    (cd "$tree" && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0 | gzip -n) > "$1/initrd.img"
    cp "$kernel/boot/vmlinuz-$version" "$1/vmlinuz"
    rm "$tree/init"
    add_resize2fs "$tree"
    add_agent "$tree" "$1/agent"
    make_boot "$1/boot.fat" "$1/vmlinuz" "$1/initrd.img"
    make_disk "$1/tiny.raw" "$1/boot.fat" "$tree"
    qemu-img convert -O qcow2 "$1/tiny.raw" "$1/tiny.qcow2"
    chmod 644 "$1"/{vmlinuz,initrd.img,tiny.qcow2}
    mv "$1"/{vmlinuz,initrd.img,tiny.qcow2} "$out/"
    fingerprint > "$1/stamp"
    mv "$1/stamp" "$out/.stamp"
}

up_to_date() {
    [ -f "$out/tiny.qcow2" ] && [ -f "$out/vmlinuz" ] && [ -f "$out/initrd.img" ] && [ "$(cat "$out/.stamp" 2> /dev/null)" = "$(fingerprint)" ]
}

[ $# = 1 ] || { echo "$usage" >&2; exit 2; }
case $1 in -h|--help) echo "$usage"; exit 0 ;; esac
mkdir -p "$1" || fail "cannot make the folder $1"
out=$(cd "$1" && pwd)
check_tools
exec 9> "$out/.lock"
flock 9
up_to_date && exit 0
check_machine
scratch=$(mktemp -d "$out/.build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
say "building $out/tiny.qcow2"
build "$scratch"
