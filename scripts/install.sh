# Shell functions that quickstart.sh and run-tests.sh share: Debian packages and the checkout's .venv.  To be sourced;
# the sourcing script sets `checkout` (the checkout's directory) and `me` (its own name, for messages).
# shellcheck shell=bash

export PATH=$PATH:/usr/sbin:/sbin

say() { echo "$me: $*" >&2; }
die() { say "$*"; exit 1; }

is_root() { [ "$(id -u)" = 0 ]; }
has_systemd() { [ -d /run/systemd/system ]; }

packages_python="python3 python3-venv"
packages_image="busybox-static cpio kmod dosfstools mtools syslinux fdisk e2fsprogs zstd xz-utils"
packages_kvm="qemu-system-x86 qemu-utils libvirt-clients genisoimage iproute2 iputils-ping gcc python3-dev libvirt-dev pkg-config"
packages_testbed="openssh-server openssh-client iproute2 iputils-ping e2fsprogs util-linux"

kvm_packages() { # what running real guests needs; a machine with systemd gets libvirt as a service
    echo "$packages_python $packages_kvm $packages_image"
    if has_systemd; then echo libvirt-daemon-system; else echo libvirt-daemon libvirt-daemon-driver-qemu; fi
}

missing_packages() { # those of the packages named that are not installed
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || echo "$package"
    done
}

check_distribution() {
    command -v apt-get > /dev/null || die "this is no Debian or Ubuntu (no apt-get); see README.md for what is needed"
    # shellcheck source=/dev/null
    case $(. /etc/os-release && echo "$ID $VERSION_ID") in
        "debian 12") ;;
        "ubuntu 24.04") say "Ubuntu 24.04: written for it, but not tested on it" ;;
        *) say "tested on Debian 12 only; going on" ;;
    esac
}

install_packages() { # install what is missing of the packages named; without root, 1 and the command that does it
    local missing
    missing=$(missing_packages "$@" | xargs)
    [ -n "$missing" ] || return 0
    is_root || { say "missing packages. As root: apt-get install -y --no-install-recommends $missing"; return 1; }
    say "installing $missing"
    # shellcheck disable=SC2086
    apt_install $missing || { quietly apt-get -q update && apt_install $missing; } \
        || die "apt-get cannot install them; try: apt-get install $missing"
}

apt_install() { DEBIAN_FRONTEND=noninteractive quietly apt-get -q install -y --no-install-recommends "$@"; }

# shellcheck disable=SC2086
install_testbed() { install_idle ssh $packages_testbed; } # what hosts of the test-bed run

install_directory() { install_idle slapd slapd; } # an LDAP server, of which tests start their own

install_idle() { # SERVICE PACKAGE...: install them; this machine gets no SERVICE, of the first one, that it did not have
    local service=$1 new
    shift
    new=$(missing_packages "$1")
    without_services install_packages "$@" || return
    if [ -n "$new" ] && has_systemd; then quietly systemctl disable "$service.service"; fi
}

without_services() ( # run a command while no package may start a service
    policy=/usr/sbin/policy-rc.d
    if is_root && [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod 755 $policy
    fi
    "$@"
)

quietly() { # run a command; its output is shown only when it fails
    local log status=0
    log=$(mktemp)
    "$@" > "$log" 2>&1 < /dev/null || status=$?
    [ $status = 0 ] || tail -n 15 "$log" >&2
    rm -f "$log"
    return $status
}

find_python() { # a Python of version 3.11 or newer
    local name
    for name in python3 python3.11 python3.12 python3.13; do
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && command -v "$name" && return
    done
    die "needs Python 3.11 or newer (Debian 12: apt-get install -y python3 python3-venv)"
}

make_venv() { # .venv with this checkout and the extras named ("kvm,test"); nothing to do when it has them already
    local stamp mark=$checkout/.venv/.installed
    stamp=$(cat "$checkout/setup.cfg" "$checkout/pyproject.toml" | sha256sum | cut -d' ' -f1)
    has_lines "$mark" "$stamp" base ${1//,/ } && return
    install_venv "$checkout/.venv" "$1"
    has_lines "$mark" "$stamp" || echo "$stamp" > "$mark"
    tr , '\n' <<< "base,$1" >> "$mark"
}

has_lines() { # whether the file $1 holds each of the other arguments as a line
    local file=$1 line
    shift
    for line in "$@"; do grep -qsxF -- "$line" "$file" || return 1; done
}

install_venv() {
    local python
    if ! [ -x "$1/bin/python" ]; then
        python=$(find_python) || exit 1
        quietly "$python" -m venv "$1" || { rm -rf "$1"; die "cannot make $1. As root: apt-get install -y python3-venv"; }
    fi
    say "installing onecore${2:+[$2]} into $1"
    quietly "$1/bin/pip" install --disable-pip-version-check -q -e "$checkout${2:+[$2]}" \
        || die "pip could not install onecore; is the Python package index reachable?"
}
