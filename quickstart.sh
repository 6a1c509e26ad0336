#!/bin/bash
# From a bare machine to a real virtual machine that answers ping.
#
#   ./quickstart.sh [--home DIR] [--port N]            install, start onecore, boot a small VM (root)
#   ./quickstart.sh --dummy [--home DIR] [--port N]    the same on simulated hosts: no root, no libvirt
#   ./quickstart.sh --down [--dummy] [--home DIR] ...  stop and remove what it started
#
# Run it as often as you like: what is there already is kept.
set -euo pipefail
checkout=$(cd "$(dirname "$0")" && pwd)
me=quickstart
# shellcheck source=scripts/install.sh
. "$checkout/scripts/install.sh"

name=quickstart      # of the network, the image, the template and the VM
bridge=onebr0
bridge_alias="onecore quickstart"
guest=$checkout/build/guest
home='' port='' dummy='' down=''

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

read_arguments() {
    options=${*:+ $*}
    while [ $# -gt 0 ]; do
        case $1 in
            --home) home=${2:?--home needs a directory}; shift ;;
            --port) port=${2:?--port needs a number}; shift ;;
            --dummy) dummy=1 ;;
            --down) down=1 ;;
            -h|--help) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    [ -n "$dummy" ] || is_root || die "real VMs need root (sudo ./quickstart.sh); without it, try ./quickstart.sh --dummy"
    if [ -n "$dummy" ]; then
        : "${home:=${XDG_DATA_HOME:-$HOME/.local/share}/onecore-dummy}" "${port:=2634}"
    else
        : "${home:=/var/lib/onecore}" "${port:=2633}"
    fi
    home=$(realpath -m "$home")
    export ONE_AUTH=$home/one_auth ONE_XMLRPC=http://127.0.0.1:$port/RPC2
}

one() { # one of the checkout's commands
    local command=$1
    shift
    "$checkout/.venv/bin/$command" "$@" < /dev/null
}

create() { # COMMAND create, with the template on standard input
    "$checkout/.venv/bin/$1" create - > /dev/null
}

there() { one "$1" show "$2" > /dev/null 2>&1; }

value() { # values in the JSON of "COMMAND show NAME", as value onevm web VM.STATE VM.TEMPLATE.NIC.IP; nothing when there is no such thing
    local command=$1 name=$2
    shift 2
    one "$command" show "$name" -j 2> /dev/null | python3 -c '
import json, sys
document = json.load(sys.stdin)
def find(value, path):
    for key in path.split("."):
        value = value[0] if isinstance(value, list) else value
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value)
print("/".join(find(document, path) for path in sys.argv[1:]))' "$@" 2> /dev/null || true
}

until_true() { # wait at most $1 seconds for a command to succeed
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}

# What is installed and started

install_all() {
    if [ -n "$dummy" ]; then
        install_python
        make_venv ""
        return
    fi
    check_distribution
    # shellcheck disable=SC2046
    install_packages $(kvm_packages) || exit 1
    make_venv kvm
    mkdir -p -m 711 "$home"
    "$checkout/scripts/libvirtd.sh" start "$home" > /dev/null || exit 1
    "$checkout/scripts/guest-image.sh" "$guest" || exit 1
}

install_python() { # where it cannot make environments yet
    python3 -c 'import ensurepip, venv' 2> /dev/null && return
    check_distribution
    # shellcheck disable=SC2086
    install_packages $packages_python || exit 1
}

start_onecore() {
    if [ -n "$dummy" ]; then
        one onecore up --home "$home" --port "$port" --dummy 3 > /dev/null
    else
        one onecore up --home "$home" --port "$port" > /dev/null
    fi || die "onecore did not start; see $home/log and: .venv/bin/onecore doctor"
}

# What is made in the cloud

host_is_on() { [ "$(value onehost "$1" HOST.STATE)" = 2 ]; }

make_host() {
    [ -z "$dummy" ] || return 0
    there onehost localhost || one onehost create localhost -i kvm -v kvm > /dev/null
    until_true 60 host_is_on localhost || die "this machine does not report as a host: onehost show localhost"
}

free_subnet() { # the first two numbers of an address range that this machine has no route to
    local third
    for third in $(seq 0 255); do
        ip -4 route show | grep -qF "10.78.$third." || { echo "10.78.$third"; return; }
    done
    die "all of 10.78.0.0/16 is in use on this machine"
}

make_network() {
    local subnet
    if ! there onevnet $name; then
        subnet=$([ -n "$dummy" ] && echo 10.78.0 || free_subnet)
        create onevnet <<END
NAME = "$name"
VN_MAD = "$([ -n "$dummy" ] && echo dummy || echo bridge)"
BRIDGE = "$bridge"
NETWORK_ADDRESS = "$subnet.0"
NETWORK_MASK = "255.255.255.0"
GATEWAY = "$subnet.1"
AR = [ TYPE = "IP4", IP = "$subnet.2", SIZE = "250" ]
END
    fi
    [ -n "$dummy" ] || give_bridge_address "$(value onevnet $name VNET.TEMPLATE.GATEWAY)"
}

give_bridge_address() { # the gateway's address is this machine's, so that it can reach the guests
    if ! [ -e /sys/class/net/$bridge ]; then
        ip link add name $bridge type bridge forward_delay 0 stp_state 0
        ip link set dev $bridge alias "$bridge_alias"
    fi
    ip link set dev $bridge up
    ip -4 -o addr show dev $bridge | grep -qF " $1/" || ip addr add "$1/24" dev $bridge
}

image_is_ready() { case $(value oneimage $name IMAGE.STATE) in 1|2) ;; *) return 1 ;; esac; }

make_image() {
    if ! there oneimage $name; then
        one oneimage create -d default --name $name --prefix vd \
            --path "$([ -n "$dummy" ] && echo /images/tiny.qcow2 || echo "$guest/tiny.qcow2")" > /dev/null
    fi
    until_true 60 image_is_ready || die "the image is not ready: oneimage show $name"
}

make_template() {
    there onetemplate $name && return
    create onetemplate <<END
NAME = "$name"
CPU = "0.5"
VCPU = "1"
MEMORY = "128"
DISK = [ IMAGE = "$name" ]
NIC = [ NETWORK = "$name" ]
GRAPHICS = [ TYPE = "VNC", LISTEN = "127.0.0.1" ]
CONTEXT = [ NETWORK = "YES", SET_HOSTNAME = "\$NAME", SSH_PUBLIC_KEY = "\$USER[SSH_PUBLIC_KEY]" ]
END
}

vm_runs() { [ "$(value onevm $name VM.STATE VM.LCM_STATE)" = 3/3 ]; }

make_vm() {
    case $(value onevm $name VM.STATE) in
        "") one onetemplate instantiate $name --name $name > /dev/null ;;
        4|5|8|9) one onevm resume $name ;;
    esac
    until_true 120 vm_runs || die "the VM is not RUNNING: onevm show $name, onevm log $name"
}

guest_answers() { ping -c 1 -W 1 "$address" > /dev/null 2>&1; }

reach_vm() {
    address=$(value onevm $name VM.TEMPLATE.NIC.IP)
    [ -n "$dummy" ] || until_true 360 guest_answers || die "the VM runs, but $address does not answer: onevm log $name"
}

# What is said at the end

report() {
    local id
    id=$(value onevm $name VM.ID)
    cat <<END

onecore is up in $home ($SECONDS s):
  oned and onesched    $ONE_XMLRPC
  host                 $([ -n "$dummy" ] && echo "3 simulated ones" || echo "localhost, this machine")
  network, image       $name, $name
  VM $id                 $name, RUNNING, $address$([ -n "$dummy" ] || echo ", answers ping")

Reach it:
END
    if [ -n "$dummy" ]; then echo "  simulated VMs have nothing to reach"; else cat <<END
  ping $address
  wget -qO- http://$address/
  virsh -c qemu:///system console $(value onevm $name VM.DEPLOY_ID)     (leave with Ctrl and ])
END
    fi
    cat <<END

Next:
  export PATH=$checkout/.venv/bin:\$PATH ONE_AUTH=$ONE_AUTH ONE_XMLRPC=$ONE_XMLRPC
  onevm list
  onetemplate instantiate $name --name second
To stop and remove it all: ./quickstart.sh --down$options
END
}

# The way back

stays='' # whether something is left, which was said
keep() { stays=1; say "$*"; }

gone() { ! there "$1" "$2" || { [ "$1" = onevm ] && [ "$(value onevm "$2" VM.STATE)" = 6 ]; }; }

remove_objects() {
    local command
    if ! gone onevm $name; then
        one onevm terminate --hard $name || true
        until_true 60 gone onevm $name || keep "VM $name is not gone: onevm show $name"
    fi
    for command in onetemplate oneimage onevnet; do
        there $command $name || continue
        one $command delete $name || keep "$name stays: $command show $name"
    done
    until_true 30 gone oneimage $name || true
    others=$(one onevm list --no-header -l ID,NAME,STAT 2> /dev/null | awk '{ printf "%s%s (%s, %s)", n++ ? ", " : "", $1, $2, $3 }')
    [ -z "$others" ] || keep "VMs of your own stay as they are: $others.  ./quickstart.sh${options/ --down/} manages them again, onevm terminate ends them"
    [ -n "$dummy" ] || ! there onehost localhost || one onehost delete localhost || keep "the host stays: it has other VMs"
}

remove_bridge() {
    [ "$(cat /sys/class/net/$bridge/ifalias 2> /dev/null)" = "$bridge_alias" ] || return 0
    if [ -n "$(ls /sys/class/net/$bridge/brif)" ]; then keep "$bridge stays: VMs are plugged into it"; else ip link delete dev $bridge; fi
}

stop_libvirtd() { # the one that was started here, but not while it has guests
    local guests
    guests=$(timeout 10 virsh -q -c qemu:///system list --name 2> /dev/null | xargs)
    if [ -n "$guests" ] && "$checkout/scripts/libvirtd.sh" status "$home" | grep -q "(libvirtd of "; then
        keep "libvirtd stays: it runs $guests"
    else
        "$checkout/scripts/libvirtd.sh" stop "$home"
    fi
}

take_down() {
    if [ -x "$checkout/.venv/bin/onecore" ]; then
        if [ -f "$home/one_auth" ]; then # only a running oned ends VMs
            if one onecore up --home "$home" --port "$port" > /dev/null; then remove_objects; else keep "oned does not start: its VMs stay"; fi
        fi
        one onecore down --home "$home" > /dev/null 2>&1 || true
    fi
    if [ -z "$dummy" ]; then
        remove_bridge
        stop_libvirtd
    fi
    echo "Stopped and removed${stays:+, all but what is named above}.  The database, keys and logs stay in $home; to remove them too: rm -r $home"
}

read_arguments "$@"
if [ -n "$down" ]; then
    take_down
    exit 0
fi
install_all
start_onecore
make_host
make_network
make_image
make_template
make_vm
reach_vm
report
