#!/bin/bash
# Installs what the tests need and runs all of them, the live ones where this machine allows.
#
#   ./run-tests.sh [--fast] [pytest arguments]     --fast: no style and type checks, no live tests, no PostgreSQL
set -uo pipefail
checkout=$(cd "$(dirname "$0")" && pwd)
me=run-tests
# shellcheck source=scripts/install.sh
. "$checkout/scripts/install.sh"

fast=
skipped=()
once=()
apart=(-n 3 --dist worksteal)                               # what works
waiting=(-n 3 --dist loadgroup --no-loadscope-reorder -m live) # what waits for guests and hosts more than it works
libvirt_started=
reading=
unset PYTHONDONTWRITEBYTECODE # hundreds of processes would compile the same sources
scratch=
declare -A jobs=()

skip() { skipped+=("$1: $2"); }

usage() { sed -n '2,4s/^# \{0,1\}//p' "$0"; }

install_everything() {
    check_distribution
    # shellcheck disable=SC2046
    install_packages $(kvm_packages) postgresql || say "going on with what is there"
    install_testbed || say "going on without a test-bed"
    install_directory || skip "tests of LDAP" "the package slapd is not installed"
    local extras=test,postgresql
    if pkg-config --exists libvirt 2> /dev/null; then extras+=,kvm; else skip "kvm driver" "libvirt-dev is not installed"; fi
    make_venv "$extras"
}

check_style() {
    local status=0
    .venv/bin/ruff check -q --output-format concise || status=1
    .venv/bin/mypy || status=1
    return $status
}

live_reason() { # why live tests cannot run here, or nothing
    is_root || { echo "they need root"; return; }
    "$checkout/.venv/bin/python" -c 'import libvirt' 2> /dev/null || { echo "the libvirt module is not installed"; return; }
    command -v qemu-system-x86_64 > /dev/null || echo "QEMU is not installed"
}

prepare_live() { # a libvirt that answers and a guest image; 1 with the reason in $reason
    reason=$(live_reason)
    [ -z "$reason" ] || return 1
    if ! "$checkout/scripts/libvirtd.sh" status "$scratch" > /dev/null 2>&1; then
        reason=$("$checkout/scripts/libvirtd.sh" start "$scratch" 2>&1) || return 1
        libvirt_started=1
    fi
    ONECORE_GUEST=$checkout/build/guest
    export ONECORE_GUEST
    reason=$("$checkout/scripts/guest-image.sh" "$ONECORE_GUEST" 2>&1) || return 1
}

aside() { # NAME COMMAND...: run beside everything else, its output kept for the end
    local name=$1
    shift
    ("$@") > "$scratch/$name.out" 2>&1 &
    jobs[$name]=$!
}

read_once() { # every worker reads all tests: the first to do so compiles them for the rest
    .venv/bin/pytest --collect-only -qq -p no:cacheprovider > /dev/null 2>&1 &
    reading=$!
}

live_tests() { exec env --default-signal=INT .venv/bin/pytest "${waiting[@]}" --durations=15 tests/live tests/contract; }

joined() { # NAME: wait for it and show what it said; its exit code
    local status=0
    wait "${jobs[$1]}" || status=$?
    show "$1"
    return $status
}

show() {
    unset "jobs[$1]"
    echo "== $1"
    cat "$scratch/$1.out"
}

clean_up() {
    local code=$? name
    [ -z "$reading" ] || kill "$reading" 2> /dev/null
    for name in "${!jobs[@]}"; do
        [ $code = 130 ] || kill -INT "${jobs[$name]}" 2> /dev/null # after Ctrl-C they know already
        joined "$name"
    done
    [ -z "$libvirt_started" ] || "$checkout/scripts/libvirtd.sh" stop "$scratch"
    rm -rf "$scratch"
}

run_all() { # what waits beside what works: two cores are never idle
    local status=0 job
    [ -n "$fast" ] || aside style-and-types check_style
    [ ${#marks[@]} -gt 0 ] || aside live live_tests
    .venv/bin/pytest "${apart[@]}" -m "not live" "${once[@]}" || status=1
    [ -n "$fast" ] || on_postgresql || status=1
    for job in "${!jobs[@]}"; do joined "$job" || status=1; done
    return $status
}

on_postgresql() { # what depends on the database once more, on a private PostgreSQL server
    if ! ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then
        skip "functional tests on PostgreSQL" "the package postgresql is not installed"
        return 0
    fi
    say "what depends on the database once more, on PostgreSQL"
    ONECORE_TEST_DB=postgresql .venv/bin/pytest "${apart[@]}" tests/functional
}

report() {
    local line
    [ ${#skipped[@]} = 0 ] || echo "Not run:"
    for line in "${skipped[@]}"; do echo "  $line"; done
    if [ "$1" = 0 ]; then echo "All tests passed (${SECONDS} s)."; else echo "There were failures (${SECONDS} s)."; fi
}

main() {
    case ${1:-} in
        -h|--help) usage; return 0 ;;
        --fast) fast=1; shift ;;
    esac
    local failed=0 marks=()
    cd "$checkout" || return 1
    scratch=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT # pytest ends by itself at Ctrl-C; what follows it would go on
    install_everything
    if [ -n "$fast" ]; then
        marks=(-m "not live")
        skip "style, types, live tests and PostgreSQL" "--fast"
    else
        once=(--deselect tests/house/test_style.py::test_ruff --deselect tests/house/test_style.py::test_mypy)
        read_once
        prepare_live || { marks=(-m "not live"); skip "live tests" "$reason"; }
        wait "$reading"
        reading=
    fi
    if [ $# -gt 0 ]; then
        [ -n "$fast" ] || check_style || failed=1
        .venv/bin/pytest "${marks[@]}" "$@" || failed=1
    else
        run_all || failed=1
    fi
    report $failed
    return $failed
}

main "$@"
