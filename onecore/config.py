"""The configuration: frozen dataclasses with a sentence under each field, read from TOML (etc/oned.conf).

An unknown key, or a value of the wrong type or out of its bounds, is an error that names it.
"""
from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """The configuration cannot be used; the text names the key."""


@dataclass(frozen=True)
class Server:
    """Where oned listens and what it accepts."""

    listen: str = "127.0.0.1"
    """Address to listen on; anything but loopback should have TLS."""
    port: int = 2633
    """TCP port of /RPC2."""
    tls_cert: str = ""
    """PEM file with the certificate chain; TLS is on when it is set."""
    tls_key: str = ""
    """PEM file with the certificate's key."""
    max_request_mb: int = 4
    """Largest call in MB."""
    large_answers: int = 4
    """How many answers over 1 MB are sent at once; the rest queue."""


@dataclass(frozen=True)
class Limits:
    """How much one user may ask at once; 0: as much as there is.  Administrators have no limits."""

    calls_a_second: int = 1000
    """Calls that a user may make, with bursts of two seconds' worth."""
    calls_in_progress: int = 100
    """Calls of a user that may be without an answer."""
    large_answers: int = 2
    """Answers over 1 MB that are sent to a user at once; the rest queue."""


@dataclass(frozen=True)
class Database:
    """Where state is kept."""

    url: str = "sqlite"
    """`sqlite` (HOME/onecore.db) or postgresql://user:password@host/name."""


@dataclass(frozen=True)
class Auth:
    """Sessions."""

    session_expiration: int = 900
    """Seconds that a checked password is remembered."""
    argon2_time_cost: int = 3
    """Passes of argon2id."""
    argon2_memory_kb: int = 65536
    """Memory of argon2id in KB."""
    default_driver: str = ""
    """Driver that is asked about users that are not known, who are made when it says yes: ldap; empty: none."""


@dataclass(frozen=True)
class Tenants:
    """What users and groups may take, and what is not theirs to say."""

    quota_vm_attributes: str = ""
    """Attributes of VMs that quotas can limit too, with commas between, such as VCPU, LICENSE."""
    vdc_host: str = "MANAGE"
    """What a VDC's groups may do with its hosts: USE, MANAGE, ADMIN with + between; - for nothing."""
    vdc_net: str = "USE"
    """With its networks."""
    vdc_datastore: str = "USE"
    """With its datastores."""
    vdc_cluster_host: str = "MANAGE"
    """With the hosts of its clusters."""
    vdc_cluster_net: str = "USE"
    """With the networks of its clusters."""
    vdc_cluster_datastore: str = "USE"
    """With the datastores of its clusters."""
    restricted_vm: str = (
        "RAW, EMULATOR, OS/KERNEL, OS/INITRD, OS/BOOTLOADER, CONTEXT/FILES, DISK/SOURCE, DISK/ORIGINAL_SIZE, "
        "DISK/TOTAL_BYTES_SEC, DISK/TOTAL_IOPS_SEC, DISK/READ_BYTES_SEC, DISK/READ_IOPS_SEC, "
        "DISK/WRITE_BYTES_SEC, DISK/WRITE_IOPS_SEC, CPU_COST, MEMORY_COST, DISK_COST, PCI, USER_INPUTS, "
        "NIC/MAC, NIC/BRIDGE, NIC/PHYDEV, NIC/VLAN_ID, NIC/VN_MAD, NIC/SCRIPT, NIC/CONF, NIC/FILTER, "
        "NIC/FILTER_IP_SPOOFING, NIC/FILTER_MAC_SPOOFING, NIC/INBOUND_AVG_BW, NIC/INBOUND_PEAK_BW, "
        "NIC/INBOUND_PEAK_KB, NIC/OUTBOUND_AVG_BW, NIC/OUTBOUND_PEAK_BW, NIC/OUTBOUND_PEAK_KB, "
        "NIC_ALIAS/MAC, NIC_ALIAS/BRIDGE, NIC_ALIAS/PHYDEV, NIC_ALIAS/VLAN_ID, NIC_ALIAS/VN_MAD, "
        "NIC_ALIAS/SCRIPT, NIC_ALIAS/CONF, NIC_ALIAS/FILTER, NIC_ALIAS/FILTER_IP_SPOOFING, "
        "NIC_ALIAS/FILTER_MAC_SPOOFING, NIC_ALIAS/INBOUND_AVG_BW, NIC_ALIAS/INBOUND_PEAK_BW, "
        "NIC_ALIAS/INBOUND_PEAK_KB, NIC_ALIAS/OUTBOUND_AVG_BW, NIC_ALIAS/OUTBOUND_PEAK_BW, "
        "NIC_ALIAS/OUTBOUND_PEAK_KB, NIC_DEFAULT/MAC, NIC_DEFAULT/BRIDGE, NIC_DEFAULT/PHYDEV, "
        "NIC_DEFAULT/VLAN_ID, NIC_DEFAULT/VN_MAD, NIC_DEFAULT/SCRIPT, NIC_DEFAULT/CONF, NIC_DEFAULT/FILTER, "
        "NIC_DEFAULT/FILTER_IP_SPOOFING, NIC_DEFAULT/FILTER_MAC_SPOOFING, NIC_DEFAULT/INBOUND_AVG_BW, "
        "NIC_DEFAULT/INBOUND_PEAK_BW, NIC_DEFAULT/INBOUND_PEAK_KB, NIC_DEFAULT/OUTBOUND_AVG_BW, "
        "NIC_DEFAULT/OUTBOUND_PEAK_BW, NIC_DEFAULT/OUTBOUND_PEAK_KB")
    """Attributes of VMs, and keys of theirs, that only administrators may say: what reaches into hosts' files and
    networks, or is theirs to decide."""
    restricted_image: str = "SOURCE"
    """Of images."""
    restricted_vnet: str = "VN_MAD, PHYDEV, VLAN_ID, BRIDGE, AR/VN_MAD, AR/PHYDEV, AR/VLAN_ID, AR/BRIDGE"
    """Of virtual networks, when they are changed."""
    restricted_datastore: str = "SAFE_DIRS, RESTRICTED_DIRS, TM_MAD, DS_MAD, LIMIT_MB, BRIDGE_LIST, NO_DECOMPRESS"
    """Of datastores, when they are changed."""
    encrypted_vm: str = ""
    """Attributes of VMs and templates, with commas between, such as CONTEXT/PASSWORD, that are kept encrypted and
    shown so, except to drivers and, on demand, to who manages the object."""
    encrypted_host: str = ""
    """Of hosts."""
    encrypted_datastore: str = ""
    """Of datastores."""
    encrypted_image: str = ""
    """Of images."""
    encrypted_vnet: str = ""
    """Of virtual networks."""
    encrypted_cluster: str = ""
    """Of clusters."""
    encrypted_user: str = ""
    """Of users."""
    encrypted_document: str = "PROVISION_BODY"
    """Of documents."""


@dataclass(frozen=True)
class Ldap:
    """The directory that users with driver ldap are checked against."""

    url: str = ""
    """ldap://host or ldaps://host; empty: there is none."""
    start_tls: bool = False
    """Encrypt an ldap:// connection before anything is said."""
    bind_dn: str = ""
    """Who searches; empty: anybody may."""
    bind_password: str = ""
    """Its password."""
    base: str = ""
    """Below what entries are searched."""
    user_field: str = "uid"
    """Attribute that holds the user's name."""
    user_filter: str = ""
    """Further filter of users, such as (objectClass=person)."""
    group: str = ""
    """DN of a group that users must be in; empty: none."""
    group_field: str = "member"
    """Attribute of groups that holds the DNs of members."""
    member_of: str = ""
    """Attribute of users that holds the DNs of their groups, asked instead of group_field, where there is one."""
    groups: str = ""
    """Groups that a new user is put into, `DN => group id; ...`; users of none of them are put into group 1."""
    timeout: int = 5
    """Seconds that the directory has for an answer."""


@dataclass(frozen=True)
class Log:
    """What is logged and how."""

    level: str = "info"
    """debug, info, warning or error."""
    json: bool = False
    """One JSON object a line instead of text."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds that a driver action may take without progress before it is cancelled."""

    prolog: int = 1800
    """Preparing a VM's disks."""
    deploy: int = 120
    """Starting a guest."""
    shutdown: int = 120
    """ACPI shutdown; then the VM is RUNNING again with an error, or shut down hard where asked."""
    destroy: int = 60
    """Ending a guest hard."""
    save: int = 600
    """Writing a guest's memory."""
    restore: int = 600
    """Reading it back."""
    epilog: int = 1800
    """Saving disks back and removing the VM's directory."""
    reboot: int = 60
    """Asking for a reboot or reset."""
    cleanup: int = 120
    """Each step of a clean-up."""
    migrate: int = 3600
    """Moving a running guest to another host."""
    hotplug: int = 120
    """Plugging or unplugging a device, resizing a running guest, writing its context anew."""
    snapshot: int = 600
    """Making a snapshot, going back to one, deleting one."""
    exec: int = 3600
    """A command inside a guest."""
    image: int = 3600
    """Registering, cloning or making an image, or saving a disk as one."""
    grace: int = 30
    """Time to confirm a cancel; then the lane is abandoned and the clean-up is owed."""


@dataclass(frozen=True)
class Retention:
    """How long the past is kept; purged in small batches."""

    schedule: str = "*/5 * * * *"
    """When what is too old is purged: a crontab line, in UTC."""
    done_days: int = 30
    """VMs that are DONE."""
    log_days: int = 30
    """The change log."""
    series_hours: int = 24
    """Monitoring series."""


@dataclass(frozen=True)
class Monitoring:
    """How hosts and datastores are watched."""

    host_period: int = 10
    """Seconds between two samples of a host."""
    host_silence: int = 30
    """Seconds without a sample until a host is ERROR."""
    datastore_period: int = 60
    """Seconds between two readings of a datastore."""


@dataclass(frozen=True)
class Ha:
    """When the VMs of a host that is gone start elsewhere (docs/ha.md)."""

    after: int = 0
    """Seconds that a host must be in ERROR before it is fenced; 0: never."""
    fence: str = ""
    """The fence driver of hosts that name none with FENCE_MAD: ipmi, script, lease; empty: those are not fenced."""
    timeout: int = 60
    """Seconds that one try to fence a host may take without progress."""
    retry: int = 60
    """Seconds between two tries."""
    most_hosts: int = 2
    """With more hosts than this in ERROR at once, or more than half of a cluster, none is fenced."""


@dataclass(frozen=True)
class Defaults:
    """What objects get when their template does not say."""

    mac_prefix: str = "02:00"
    """First two bytes of generated MAC addresses."""
    umask: str = "177"
    """Octal; taken from 666 (777 for administrators) for new objects."""
    device_prefix: str = "vd"
    """Bus of disks: hd, sd or vd."""
    nic_model: str = "virtio"
    """Model of network interfaces."""
    vnc_base_port: int = 5900
    """VNC port of VM 0; the VM's id is added.  One that is taken on the VM's host becomes the next free one."""
    serial_base_port: int = 20000
    """As vnc_base_port, for serial consoles: SERIAL = [ TYPE = "tcp" ]."""
    system_tm: str = "qcow2"
    """Transfer driver of datastores 0 to 2, set when the database is made."""


@dataclass(frozen=True)
class Config:
    """All of it.  `drivers` holds one free table a driver, handed to it as it is."""

    server: Server = Server()
    limits: Limits = Limits()
    database: Database = Database()
    auth: Auth = Auth()
    tenants: Tenants = Tenants()
    ldap: Ldap = Ldap()
    log: Log = Log()
    deadlines: Deadlines = Deadlines()
    retention: Retention = Retention()
    monitoring: Monitoring = Monitoring()
    ha: Ha = Ha()
    defaults: Defaults = Defaults()
    drivers: Mapping[str, Any] = field(default_factory=dict)


_LARGEST = 2**31 - 1
BOUNDS = {
    "server.port": (1, 65535), "server.max_request_mb": (1, 1024), "server.large_answers": (1, 1000),
    "auth.argon2_time_cost": (1, 100), "auth.argon2_memory_kb": (32, 1 << 22), "deadlines": (1, _LARGEST),
    "ldap.timeout": (1, 60),
    "monitoring": (1, _LARGEST), "ha.timeout": (1, 86400), "ha.retry": (1, _LARGEST), "ha.most_hosts": (1, _LARGEST),
    "defaults.vnc_base_port": (1, 65000), "defaults.serial_base_port": (1024, 65000)}
"""From … to, by key or by section; other numbers are not negative."""
_RIGHTS = (r"|-|(USE|MANAGE|ADMIN)(\+(USE|MANAGE|ADMIN))*", "USE, MANAGE, ADMIN with + between, or -")
_PATHS = (r" *([A-Z_0-9]+(/[A-Z_0-9]+)?( *, *[A-Z_0-9]+(/[A-Z_0-9]+)?)*)? *",
          "names of attributes, or ATTRIBUTE/KEY, with commas between")
FORMS = {
    **dict.fromkeys((f"tenants.restricted_{kind}" for kind in ("vm", "image", "vnet", "datastore")), _PATHS),
    **dict.fromkeys((f"tenants.vdc_{what}" for what in ("host", "net", "datastore", "cluster_host", "cluster_net",
                                                        "cluster_datastore")), _RIGHTS),
    "tenants.quota_vm_attributes": (r" *([A-Z_][A-Z0-9_]*( *, *[A-Z_][A-Z0-9_]*)*)? *",
                                    "names of attributes with commas between, such as VCPU, LICENSE"),
    "database.url": (r"|sqlite|postgres(ql)?://.+", "sqlite or postgresql://user:password@host/name"),
    "auth.default_driver": (r"|ldap", "ldap or empty"),
    "ldap.url": (r"|ldaps?://.+", "ldap://host or ldaps://host"),
    "log.level": (r"debug|info|warning|error", "debug, info, warning or error"),
    "defaults.mac_prefix": (r"[0-9a-fA-F]{2}:[0-9a-fA-F]{2}", "two bytes such as 02:00"),
    "defaults.umask": (r"[0-7]{3}", "three octal digits such as 177"),
    "defaults.device_prefix": (r"hd|sd|vd", "hd, sd or vd")}
"""Texts that must match a pattern, and the pattern in words."""
LANES = {"lane_width": (1, 1000), "lane_queue": (1, _LARGEST), "threads": (1, 1000), "stuck_after": (1, 86400)}
"""The keys of [drivers] itself: what all drivers share (drivers/lanes.py)."""


def names(text: str) -> tuple[str, ...]:
    """The names in a text with commas between."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def load(path: Path | None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """The configuration in PATH (None: all defaults) with OVERRIDES ({section: {key: value}}) on top."""
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        except ValueError as error:  # not TOML, or not UTF-8
            raise ConfigError(f"{path}: {error}") from None
    for section, values in (overrides or {}).items():
        given = data.setdefault(section, {})
        if isinstance(given, dict):
            given.update(values)
    return parse(data, str(path or "configuration"))


def parse(data: Mapping[str, Any], source: str = "configuration") -> Config:
    """DATA as a Config; raises ConfigError naming the key."""
    made: dict[str, Any] = {}
    sections = {f.name: f for f in fields(Config)}
    for name, value in data.items():
        if name not in sections:
            raise ConfigError(f"{source}: unknown section [{name}], expected one of {', '.join(sections)}")
        if not isinstance(value, Mapping):
            raise ConfigError(f"{source}: {name} must be a section, [{name}]")
        made[name] = (_drivers(value, source) if name == "drivers"
                      else _section(sections[name].default, name, value, source))
    return Config(**made)


def _drivers(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """One free table a driver, and the numbers that all drivers share."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            continue
        if key not in LANES:
            raise ConfigError(f"{source}: unknown key drivers.{key}, expected one of {', '.join(LANES)} or a table "
                              f"[drivers.{key}]")
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ConfigError(f"{source}: drivers.{key} must be a number, not {value!r}")
        _check_bounds(f"drivers.{key}", value, LANES[key], source)
    return dict(values)


def _section(default: Any, name: str, values: Mapping[str, Any], source: str) -> Any:
    cls = type(default)
    assert is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"{source}: unknown key {name}.{key}, expected one of {', '.join(hints)}")
        if not isinstance(value, hints[key]) or (hints[key] is int and isinstance(value, bool)):
            raise ConfigError(f"{source}: {name}.{key} must be of type {hints[key].__name__}, not {value!r}")
        if hints[key] is int:
            bounds = BOUNDS.get(f"{name}.{key}") or BOUNDS.get(name, (0, _LARGEST))
            _check_bounds(f"{name}.{key}", value, bounds, source)
        pattern, words = FORMS.get(f"{name}.{key}", (".*", ""))
        if isinstance(value, str) and not re.fullmatch(pattern, value, re.S):
            raise ConfigError(f"{source}: {name}.{key} must be {words}, not {value!r}")
    return cls(**values)


def _check_bounds(key: str, value: float, bounds: tuple[int, int], source: str) -> None:
    least, most = bounds
    if not least <= value <= most:
        raise ConfigError(f"{source}: {key} must be from {least} to {most}, not {value}")
