"""The XML of a domain that runs, read: which of the VM's devices it has, where their files are, how large it is.

Devices are found by what the core gave them and libvirt keeps: a disk by its file's name, a NIC by its MAC.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy

from lxml import etree

from drivers.vm.domain.element import text_of

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
_FILE = re.compile(r"/disk\.(\d+)(?:\.snap/.*)?\Z")
_ALTERABLE = ("source", "bandwidth", "link", "filterref")
"""What may change in a NIC while it is plugged."""
_HOSTS = ("host-passthrough", "maximum")
_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "kib": 1, "k": 1, "mib": 1024, "m": 1024, "gib": 1 << 20, "g": 1 << 20}


class Live:
    """A domain document of libvirt's."""

    def __init__(self, xml: str) -> None:
        self.root = etree.fromstring(xml.encode(), _PARSER)

    @property
    def hypervisor(self) -> str:
        """`kvm` or `qemu`."""
        return str(self.root.get("type"))

    @property
    def processors(self) -> tuple[int, int]:
        """Virtual processors now, and at most."""
        node = self.root.find("vcpu")
        most = int(node.text or 1) if node is not None else 1
        return (int(node.get("current") or most) if node is not None else 1), most

    @property
    def memory_kib(self) -> tuple[int, int]:
        """Memory now (as the balloon leaves it), and at most with the DIMMs that are plugged."""
        return self._kib("currentMemory"), self._kib("memory")

    @property
    def shares(self) -> int:
        """Its share of the host's CPUs; 0: it was given none."""
        return int(self.root.findtext("cputune/shares") or 0)

    @property
    def slots_kib(self) -> int:
        """How far memory may grow by plugging; 0: not at all."""
        return self._kib("maxMemory")

    def dimms_kib(self) -> list[tuple[int, str]]:
        """Size and XML of every DIMM that was plugged."""
        return [(_number(size), text_of(node)) for node in self.root.findall("devices/memory")
                if node.get("model") == "dimm" and (size := node.find("target/size")) is not None]

    def disk(self, number: object) -> LiveDisk | None:
        """The VM's disk NUMBER in the domain (its context CD, too), None when it has none such."""
        return next((disk for disk in self.disks() if disk.number == str(number)), None)

    def at(self, target: str) -> LiveDisk | None:
        """What has the name TARGET (vda), whatever it is."""
        return next((disk for disk in self.disks() if disk.target == target), None)

    def disks(self) -> Iterator[LiveDisk]:
        """All disks and drives."""
        return (LiveDisk(node) for node in self.root.findall("devices/disk"))

    def interface(self, nic: Mapping[str, str]) -> str | None:
        """The XML of the VM's NIC in the domain, None when it has none such."""
        wanted = str(nic.get("MAC") or "").lower()
        for node in self.root.findall("devices/interface"):
            mac = node.find("mac")
            if mac is not None and str(mac.get("address")).lower() == wanted:
                return text_of(node)
        return None

    def screen(self, password: str) -> str | None:
        """The XML of the guest's screen with that PASSWORD; None when it has that already, or no screen."""
        node = self.root.find("devices/graphics[@port]")
        if node is None or str(node.get("passwd") or "") == password:
            return None
        made = deepcopy(node)
        made.set("passwd", password)
        return text_of(made)

    def shape(self) -> dict[str, str]:
        """What a saved state of the guest fits to: its processors, memory and devices with their places, by name."""
        now = ",".join(str(each.get("id")) for each in self.root.findall("vcpus/vcpu[@enabled='yes']"))
        found = {"processors": now or str(self.processors[0]), "memory": str(self.memory_kib[1]),
                 "machine": str(self.root.find("os/type").get("machine"))}  # type: ignore[union-attr]
        for alias in self.root.findall("devices/*/alias"):
            device: etree._Element = alias.getparent()  # type: ignore[assignment]
            address = device.find("address")
            found[str(alias.get("name"))] = " ".join((str(device.tag), *_places(address)))
        return found

    def machine(self) -> tuple[str, str, str]:
        """Architecture, machine type and emulator."""
        kind = self.root.find("os/type")
        assert kind is not None
        return str(kind.get("arch")), str(kind.get("machine")), str(self.root.findtext("devices/emulator") or "")

    def cpu(self) -> str | None:
        """The XML of its CPU, None when it has none of its own."""
        node = self.root.find("cpu")
        return None if node is None else text_of(deepcopy(node))

    def has_hosts_cpu(self) -> bool:
        """Whether its CPU is whatever its host has, and so none that its document names."""
        node = self.root.find("cpu")
        return node is not None and node.get("mode") in _HOSTS

    def tags(self, wanted: Iterable[str]) -> list[str]:
        """Which kinds of devices WANTED it has."""
        return [tag for tag in wanted if self.root.find(f"devices/{tag}") is not None]

    def ports(self) -> list[str]:
        """The TCP ports of its host that its screen and console listen on."""
        screens = [str(node.get("port")) for node in self.root.findall("devices/graphics")
                   if node.get("autoport") != "yes" and node.get("port")]
        return screens + [str(node.get("service")) for node in self.root.findall("devices/serial/source")
                          if node.get("mode") == "bind" and node.get("service")]

    def has_variables(self) -> bool:
        """Whether the guest keeps UEFI's variables."""
        return self.root.find("os/nvram") is not None

    def has_scsi(self) -> bool:
        """Whether there is a controller for disks on the SCSI bus."""
        return self.root.find("devices/controller[@type='scsi']") is not None

    def agent(self) -> str:
        """`connected`, `disconnected`, or '' when the guest has no channel for an agent."""
        node = self.root.find("devices/channel/target[@name='org.qemu.guest_agent.0']")
        return "" if node is None else str(node.get("state") or "disconnected")

    def _kib(self, tag: str) -> int:
        node = self.root.find(tag)
        return 0 if node is None else _number(node)


class LiveDisk:
    """A disk of a domain that runs."""

    def __init__(self, node: etree._Element) -> None:
        self._node = node

    @property
    def target(self) -> str:
        """Its name: vda."""
        return self._child("target", "dev")

    @property
    def number(self) -> str:
        """Its DISK_ID, by the file's name; '' when that is none of a VM's."""
        found = _FILE.search(self.path)
        return found[1] if found else ""

    @property
    def path(self) -> str:
        """The file that the guest writes to; '' for an empty drive."""
        return self._child("source", "file") or self._child("source", "dev")

    @property
    def format(self) -> str:
        """What that file is: raw, qcow2."""
        return self._child("driver", "type")

    @property
    def is_removable(self) -> bool:
        """Whether its medium can be changed."""
        return self._node.get("device") in ("cdrom", "floppy")

    @property
    def is_readonly(self) -> bool:
        """Whether the guest cannot write to it."""
        return self._node.find("readonly") is not None

    @property
    def node(self) -> str:
        """What QEMU calls the file that is written to."""
        return f"libvirt-{self.layers[0][1]}-format" if self.layers else ""

    @property
    def layers(self) -> list[tuple[str, str]]:
        """The files that it consists of and libvirt's numbers for them, the one that is written to first."""
        found: list[tuple[str, str]] = []
        node: etree._Element | None = self._node
        while node is not None and (source := node.find("source")) is not None:
            found.append((str(source.get("file") or source.get("dev") or ""),
                          str(source.get("index") or node.get("index") or "")))
            node = node.find("backingStore")
        return found

    @property
    def chain(self) -> list[str]:
        """Those files."""
        return [path for path, _ in self.layers]

    @property
    def job(self) -> str:
        """The block job that is under way: `copy`, `active-commit` …; '' when there is none."""
        mirror = self._node.find("mirror")
        return "" if mirror is None else str(mirror.get("job") or "copy")

    @property
    def is_ready(self) -> bool:
        """Whether that job has caught up with the guest."""
        mirror = self._node.find("mirror")
        return mirror is not None and mirror.get("ready") == "yes"

    @property
    def copy_path(self) -> str:
        """The file that a `copy` writes to."""
        source = self._node.find("mirror/source")
        return "" if source is None else str(source.get("file") or "")

    @property
    def xml(self) -> str:
        """As libvirt shows it."""
        return text_of(self._node)

    def _child(self, tag: str, name: str) -> str:
        node = self._node.find(tag)
        return "" if node is None else str(node.get(name) or "")


def _places(address: etree._Element | None) -> list[str]:
    return [] if address is None else [f"{name}={address.get(name)}" for name in sorted(map(str, address.keys()))]


def host_cpu(capabilities: str) -> str | None:
    """The XML of the CPU that a host can give, from its domain capabilities; None when these name none."""
    found = etree.fromstring(capabilities.encode(), _PARSER).find("cpu/mode[@name='host-model'][@supported='yes']")
    if found is None or found.find("model") is None:
        return None
    made = etree.Element("cpu")
    made.extend(found)
    return text_of(made)


def altered(interface: str, wanted: str) -> str:
    """The XML of a plugged NIC with what may change in it taken from the XML that is WANTED."""
    node, new = (etree.fromstring(each.encode(), _PARSER) for each in (interface, wanted))
    for tag in _ALTERABLE:
        for old in node.findall(tag):
            node.remove(old)
        node.extend(new.findall(tag))
    return text_of(node)


def emptied(drive: str) -> str:
    """The XML of a drive without its medium."""
    node = etree.fromstring(drive.encode(), _PARSER)
    for source in node.findall("source"):
        node.remove(source)
    return text_of(node)


def _number(node: etree._Element) -> int:
    return int(int(node.text or 0) * _KIB.get(str(node.get("unit") or "KiB").lower(), 1))
