"""`onevm save`: a new template of a VM as it is now, with images of its disks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from cli.cells import value
from cli.command import command, object_argument
from cli.errors import CliError
from cli.ids import id_of, read_info
from cli.kind import Kind
from cli.kinds import kind as kind_of
from cli.session import Session
from cli.vm.body import state_pair
from onecore.wire import states

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

POLL = 1.0
"""Seconds between looks at an image that is being copied."""
_COPIED = ("DEV_PREFIX", "TARGET", "DRIVER", "CACHE", "DISCARD", "IO", "READONLY")
_VOLATILE = ("TYPE", "FORMAT", "FS", "SIZE", *_COPIED)
_NETWORK = ("NETWORK_ID", "NETWORK", "NETWORK_UNAME", "MODEL", "NAME", "SECURITY_GROUPS")


def save(kind: Kind) -> click.Command:
    """The command `save`."""
    return command(
        kind,
        "save",
        run,
        object_argument(kind, "oid"),
        click.Argument(["name"]),
        click.Option(["--persistent"], is_flag=True, help="Make the new images persistent."),
        examples=["save web web-golden"],
    )


def run(session: Session, kind: Kind, oid: str, name: str, persistent: bool) -> None:
    """Copy the template of a VM that is off under a new NAME, with images of the VM's disks as they are now.

    Its capacity and NICs come along.  When a disk cannot be saved, what was made is removed.
    """
    body = read_info(session, kind, id_of(session, kind, oid))
    source = value(body, "TEMPLATE/TEMPLATE_ID")
    if not source:
        raise CliError(f"VM {value(body, 'ID')} was not made from a template; disk-saveas saves single disks")
    if state_pair(body)[0] != states.VmState.POWEROFF:
        raise CliError(f"VM {value(body, 'ID')} is {states.vm_name(*state_pair(body))}, not POWEROFF")
    session.really("save")
    template = session.number("one.template.clone", int(source), name, False)
    images: list[int] = []
    try:
        saved = _save_disks(session, int(value(body, "ID")), name, body, images, persistent)
        session.call("one.template.update", template, changes(body, saved), 1)
    except (CliError, KeyboardInterrupt):
        _undo(session, template, images)
        raise
    session.made(template, "Template ID")


def _save_disks(
    session: Session, vm: int, name: str, body: Body, images: list[int], persistent: bool
) -> Mapping[str, int]:
    """The image that each disk with an image was saved as, by DISK_ID; each is also put into IMAGES at once."""
    saved = {}
    for disk in body.findall("TEMPLATE/DISK"):
        number = value(disk, "DISK_ID")
        if not value(disk, "IMAGE_ID") or value(disk, "TYPE").upper() == "CDROM":
            continue
        image = session.number("one.vm.disksaveas", vm, int(number), f"{name}-disk-{number}", "", -1)
        images.append(image)
        saved[number] = image
        _until_ready(session, image)
        if persistent:
            session.call("one.image.persistent", image, True)
        session.told(f"disk {number}: image {image}")
    return saved


def _until_ready(session: Session, image: int) -> None:
    while True:
        state = int(value(read_info(session, kind_of("image"), image), "STATE", "0"))
        if state == states.ImageState.ERROR:
            raise CliError(f"image {image} could not be made; onevm log tells why")
        if state == states.ImageState.READY:
            return
        time.sleep(POLL)


def changes(body: Body, saved: Mapping[str, int]) -> str:
    """What the new template has otherwise than the one it was copied from: the VM's capacity, disks and NICs."""
    from onecore.wire.template import Tree, to_text

    disks = [("DISK", _disk(disk, saved)) for disk in body.findall("TEMPLATE/DISK")]
    nics = [("NIC", _some(nic, _NETWORK)) for nic in body.findall("TEMPLATE/NIC")]
    plain = [(key, value(body, f"TEMPLATE/{key}")) for key in ("CPU", "VCPU", "MEMORY")]
    return to_text(Tree([*((key, text) for key, text in plain if text), *disks, *nics]))


def _disk(disk: Body, saved: Mapping[str, int]) -> dict[str, str]:
    image = saved.get(value(disk, "DISK_ID"))
    if image is not None:
        return {"IMAGE_ID": str(image), **_some(disk, _COPIED)}
    if value(disk, "IMAGE_ID"):
        return _some(disk, ("IMAGE_ID", *_COPIED))
    return _some(disk, _VOLATILE)


def _some(element: Body, names: tuple[str, ...]) -> dict[str, str]:
    return {name: value(element, name) for name in names if value(element, name)}


def _undo(session: Session, template: int, images: list[int]) -> None:
    """Remove what was made; what cannot be removed is told."""
    for method, oid, arguments in [
        ("one.template.delete", template, (False,)),
        *(("one.image.delete", image, (True,)) for image in images),
    ]:
        with suppress(KeyboardInterrupt):
            try:
                session.call(method, oid, *arguments)
            except CliError as error:
                session.fail(f"{method.split('.')[1]} {oid} is left over: {error}")
