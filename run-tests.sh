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
apart=(-n 2 --dist loadfile) # two files of tests at once
libvirt_started=
scratch=

skip() { skipped+=("$1: $2"); }

usage() { sed -n '2,4s/^# \{0,1\}//p' "$0"; }

install_everything() {
    check_distribution
    # shellcheck disable=SC2046
    install_packages $(kvm_packages) postgresql || say "going on with what is there"
    install_testbed || say "going on without a test-bed"
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

clean_up() {
    [ -z "$libvirt_started" ] || "$checkout/scripts/libvirtd.sh" stop "$scratch"
    rm -rf "$scratch"
}

on_real_parts() { # clouds on test-beds of their own, which wait more than they work; then what needs this machine's libvirt for itself
    local status=0
    .venv/bin/pytest -n 3 --dist loadfile -m live tests/live/test_remote_*.py || status=1
    .venv/bin/pytest -m live --ignore-glob='*/test_remote_*' || status=1
    return $status
}

run_all() {
    local status=0
    .venv/bin/pytest "${apart[@]}" -m "not live" || status=1
    [ ${#marks[@]} -gt 0 ] || on_real_parts || status=1
    [ -n "$fast" ] || on_postgresql || status=1
    return $status
}

on_postgresql() { # the functional tests once more, on a private PostgreSQL server
    if ! ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then
        skip "functional tests on PostgreSQL" "the package postgresql is not installed"
        return 0
    fi
    say "the functional tests once more, on PostgreSQL"
    ONECORE_TEST_DB=postgresql .venv/bin/pytest "${apart[@]}" tests/functional --ignore-glob='*/test_sim_*'
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
    install_everything
    if [ -n "$fast" ]; then
        marks=(-m "not live")
        skip "style, types, live tests and PostgreSQL" "--fast"
    else
        check_style || failed=1
        prepare_live || { marks=(-m "not live"); skip "live tests" "$reason"; }
    fi
    if [ $# -gt 0 ]; then
        .venv/bin/pytest "${marks[@]}" "$@" || failed=1
    else
        run_all || failed=1
    fi
    report $failed
    return $failed
}

main "$@"
