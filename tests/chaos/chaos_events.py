"""What nobody asks for: guests that change by themselves, hosts that are not heard of; and what becomes of images."""
from __future__ import annotations

from collections.abc import Iterator

from chaos_action import Action
from chaos_roads import (
    a_moment,
    act,
    both_fail,
    come,
    fails,
    guest,
    hangs,
    lose,
    migrate,
    nothing,
    silence,
    speak,
    unheard,
    well,
)
from chaos_site import Site, Step


def by_themselves() -> Iterator[Action]:
    """What hosts and guests do by themselves."""
    for word, goal in (("", "POWEROFF"), ("poweroff", "POWEROFF"), ("crashed", "POWEROFF"),
                       ("suspended", "SUSPENDED")):
        yield Action("RUNNING", f"guest-{word or 'gone'}", guest(word), frozenset({goal}))
        yield Action("UNKNOWN", f"guest-{word or 'gone'}", guest(word), frozenset({goal}), (speak,), patience=30)
    yield Action("SUSPENDED paused", "guest-gone", guest(""), frozenset({"POWEROFF"}), patience=30)
    for start in ("POWEROFF", "SUSPENDED", "SUSPENDED paused", "BOOT_FAILURE", "BOOT_STOPPED_FAILURE",
                  "BOOT_UNDEPLOY_FAILURE", "BOOT_MIGRATE_FAILURE"):
        yield Action(start, "guest-running", guest("running"), frozenset({"RUNNING"}), patience=30)
    yield Action("RUNNING", "host-silent", _silent_for_a_while, frozenset({"RUNNING"}), patience=60)
    yield Action("UNKNOWN", "host-speaks", speak, frozenset({"RUNNING"}), patience=30)
    yield Action("RUNNING fenceable", "host-silent", silence, frozenset({"PENDING"}), patience=120,
                 stores=("shared",), then=(speak,))
    yield Action("RUNNING fenceable", "host-silent-in-save", nothing, frozenset({"PENDING", "SUSPENDED"}), (
        hangs("vm.save"), act("suspend"), come("SAVE_SUSPEND"), a_moment, silence), patience=150, stores=("shared",),
        then=(speak,))
    yield Action("RUNNING fenceable", "fenced-as-its-end-fails", act("recover-failure"), frozenset({"PENDING"}), (
        _while_it_is_fenced,), patience=150, stores=("shared",), then=(speak,), overtaken=frozenset({"POWEROFF"}))
    yield Action("RUNNING", "save-unheard", nothing, frozenset({"SUSPENDED"}), (
        unheard("vm.save"), act("suspend"), come("SAVE_SUSPEND"), a_moment), patience=120)
    moving = migrate(1, live=True), come("UNKNOWN")
    yield Action("RUNNING", "migrate-unheard", well, frozenset({"RUNNING"}), (
        fails("vm.migrate.where"), *moving), patience=40)
    yield Action("RUNNING", "migrate-store-unheard", well, frozenset({"RUNNING"}), (
        fails("vm.migrate.where"), migrate(0, "other", live=True), come("UNKNOWN")), patience=40)
    yield Action("RUNNING", "migrate-store-failed-unheard", well, frozenset({"RUNNING"}), (
        both_fail, migrate(0, "other", live=True), come("UNKNOWN")), patience=40)
    yield Action("RUNNING", "migrate-failed-unheard", well, frozenset({"RUNNING"}), (both_fail, *moving), patience=40)
    yield Action("RUNNING", "migrate-failed-unheard-host-lost", nothing, frozenset({"RUNNING"}), (
        both_fail, *moving, lose(1)), then=(speak,), patience=40)
    yield Action("CLONING", "images-ready", nothing, frozenset({"PENDING"}))
    yield Action("CLONING held", "images-ready", nothing, frozenset({"HOLD"}))
    yield Action("CLONING failing", "images-fail", nothing, frozenset({"CLONING_FAILURE"}))
    for start, goal in (("CLONING_FAILURE", "PENDING"), ("CLONING_FAILURE held", "HOLD")):
        yield Action(start, "image-enabled", lambda site: site.call("one.image.enable", site.own, True),
                     frozenset({goal}))
    for status, goal in ((1, "RUNNING"), (2, "UNKNOWN")):
        yield Action("RUNNING", f"host-status-{status}",
                     lambda site, status=status: site.call("one.host.status", site.hosts[0], status),
                     frozenset({goal}),
                     then=(lambda site: site.call("one.host.status", site.hosts[0], 0), come("RUNNING")))


def _silent_for_a_while(site: Site) -> None:
    silence(site)
    site.wait("UNKNOWN")
    speak(site)


FENCING = 10.5
"""Seconds that a slow fence takes: more than one of the looks, one a second, at what runs on silent hosts."""


def _while_it_is_fenced(site: Site) -> None:
    """Somebody powers the VM off while its host is fenced; the fence is done 0.2 s from now, before the next look."""
    site.silent = ("node1",)
    site.script({"action": "vm.shutdown", "hang": True}, delay={"im.fence": FENCING})
    sent = site.sim.transport.sent
    site.sim.until(lambda: any(each.action == "fence" for each in sent), 120, "a fence")
    site.act("poweroff")
    site.wait("SHUTDOWN_POWEROFF")
    site.sim.advance(FENCING - 0.2)


def _image(method: str, *arguments: object) -> Step:
    return lambda site: site.call(method, *(site.image if a == "{image}" else a for a in arguments))


def images() -> Iterator[Action]:
    text = 'NAME="new"\nTYPE="DATABLOCK"\nSIZE="10"\n'
    yield Action("nothing", "image-make", _image("one.image.allocate", text, 1), frozenset({"READY"}),
                 subject="new")
    yield Action("nothing", "image-register", _image("one.image.allocate", text + 'PATH="/some/file"\n', 1),
                 frozenset({"READY"}), subject="new")
    yield Action("nothing", "image-clone", _image("one.image.clone", "{image}", "copy"), frozenset({"READY"}),
                 subject="copy")
    yield Action("nothing", "image-delete", _image("one.image.delete", "{image}"), frozenset({"gone"}),
                 subject="disk")
