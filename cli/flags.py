"""Template flags (`--cpu 1 --disk img:size=1000 --nic net`): options and the template text they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from cli.errors import CliError
from cli.source import read

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([mMgGtT]?)[bB]?\Z")
_OWNED = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]\Z")
_CPU = re.compile(r"\d+(\.\d+)?\Z|\.\d+\Z")
_MEGABYTES = {"": 1, "m": 1, "g": 1024, "t": 1024 * 1024}
FROM_USER = "\0user"
"""Value of --ssh without a file: the key of the user's own template."""

Pairs = list[tuple[str, Any]]


def options() -> list[click.Parameter]:
    """The options; `used` and `text` read what they were given."""
    return [
        click.Option(["--name"], metavar="TEXT", help="Name."),
        click.Option(["--cpu"], metavar="N", help="Share of CPU, 1 is a whole core."),
        click.Option(["--vcpu"], type=click.IntRange(min=1), metavar="N", help="Virtual CPUs."),
        click.Option(["--arch"], metavar="ARCH", help="Architecture, as x86_64."),
        click.Option(["--memory"], metavar="SIZE", help="Memory in MB, or 8g."),
        click.Option(
            ["--disk"], multiple=True, metavar="IMAGES", help="Images, each img or user[img], with :key=value:..."
        ),
        click.Option(
            ["--nic"], multiple=True, metavar="NETS", help="Networks, each net or user[net], with :key=value:..."
        ),
        click.Option(["--context"], multiple=True, metavar="A=B,..", help="Lines for the context section."),
        click.Option(
            ["--ssh"],
            metavar="[FILE]",
            is_flag=False,
            flag_value=FROM_USER,
            help="Public key file for the context; without one the user's SSH_PUBLIC_KEY.",
        ),
        click.Option(["--net_context", "--net-context"], is_flag=True, help="Network settings in the context."),
        click.Option(["--startscript"], metavar="FILE", help="Script to run when the guest starts."),
        click.Option(
            ["--files_ds", "--files-ds"], metavar="FILES", help="Images of the files datastore for the context."
        ),
        click.Option(["--init"], metavar="SCRIPTS", help="Names of context files to run at boot."),
        click.Option(["--vnc"], is_flag=True, help="VNC console."),
        click.Option(["--vnc-password"], metavar="TEXT", help="Its password."),
        click.Option(["--vnc-listen"], metavar="IP", help="Its address on the host."),
        click.Option(["--vnc-keymap"], metavar="MAP", help="Its keyboard map."),
        click.Option(["--spice"], is_flag=True, help="SPICE console."),
        click.Option(["--spice-password"], metavar="TEXT", help="Its password."),
        click.Option(["--spice-listen"], metavar="IP", help="Its address on the host."),
        click.Option(["--spice-keymap"], metavar="MAP", help="Its keyboard map."),
        click.Option(["--video"], metavar="TYPE", help="Video device: none, vga, cirrus or virtio."),
        click.Option(["--video-iommu"], is_flag=True, help="IOMMU for it."),
        click.Option(["--video-ats"], is_flag=True, help="Address translation services for it."),
        click.Option(["--video-vram"], metavar="SIZE", help="Its memory in MB, or 1g."),
        click.Option(["--video-resolution"], metavar="WxH", help="Its resolution, as 1280x720."),
        click.Option(["--report_ready", "--report-ready"], is_flag=True, help="The guest reports that it is ready."),
        click.Option(["--boot"], metavar="DEVICES", help="Boot order, as disk0,nic0."),
        click.Option(["--raw"], metavar="TEXT", help="Text added to the template as it is."),
    ]


def used(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flags that were given."""
    return {name: value for name, value in given.items() if value not in (None, False, ())}


def text(flags: Mapping[str, Any]) -> str:
    """The template text that FLAGS stand for; raises CliError."""
    from onecore.wire.template import Tree, to_text

    raw = flags.get("raw")
    return to_text(Tree(_pairs(flags))) + (f"{raw}\n" if raw else "")


def _pairs(flags: Mapping[str, Any]) -> Pairs:
    pairs: Pairs = [(key.upper(), str(flags[key])) for key in ("name", "cpu", "vcpu") if key in flags]
    if "cpu" in flags:
        cores(flags["cpu"])
    if "memory" in flags:
        pairs.append(("MEMORY", str(megabytes(flags["memory"], "--memory"))))
    system = {key.upper(): flags[key] for key in ("arch", "boot") if key in flags}
    if system:
        pairs.append(("OS", system))
    pairs += [("DISK", _device(item, "IMAGE")) for item in _items(flags.get("disk", ()))]
    pairs += [("NIC", _device(item, "NETWORK")) for item in _items(flags.get("nic", ()))]
    pairs += [("GRAPHICS", _graphics(flags, kind)) for kind in ("vnc", "spice") if kind in flags]
    if any(name.startswith("video") for name in flags):
        pairs.append(("VIDEO", _video(flags)))
    context = _context(flags)
    return [*pairs, ("CONTEXT", context)] if context else pairs


def megabytes(text: str, name: str) -> int:
    """MB of `128`, `512m`, `8g` or `0.5g`; raises CliError that names NAME, an option or argument."""
    found = _MEMORY.match(text.strip())
    amount = round(float(found[1]) * _MEGABYTES[found[2].lower()]) if found else 0
    if amount < 1:
        raise CliError(f"{name} {text!r} is not a size in MB, as in 512 or 8g")
    return amount


def cores(text: str) -> str:
    """TEXT, which --cpu was given, if it is a number above 0; raises CliError."""
    if not _CPU.match(text.strip()) or not float(text):
        raise CliError(f"--cpu {text!r} is not a number of cores, as in 0.5 or 2")
    return text


def _items(given: tuple[str, ...]) -> list[str]:
    return [item.strip() for text in given for item in text.split(",") if item.strip()]


def _device(item: str, what: str) -> dict[str, str]:
    first, *rest = item.split(":")
    if "=" in first:
        first, rest = "", [first, *rest]
    out, last = _target(first, what) if first else {}, ""
    for part in rest:
        key, equals, value = part.partition("=")
        if equals and key:
            last = key.upper()
            out[last] = value
        elif last and not equals:  # a colon that belongs to the value before it, as in a MAC address
            out[last] += f":{part}"
        else:
            raise CliError(f"{item!r}: {part!r} is not key=value")
    return out


def _target(name: str, what: str) -> dict[str, str]:
    if what == "NETWORK" and name == "auto":
        return {"NETWORK_MODE": "auto"}
    owned = _OWNED.match(name)
    if owned:
        return {what: owned[2], f"{what}_UNAME": owned[1]}
    return {f"{what}_ID" if name.isdigit() else what: name}


def _graphics(flags: Mapping[str, Any], kind: str) -> dict[str, str]:
    keys = {"PASSWD": "password", "LISTEN": "listen", "KEYMAP": "keymap"}
    return {
        "TYPE": kind.upper(),
        "LISTEN": "0.0.0.0",
        **{key: flags[f"{kind}_{name}"] for key, name in keys.items() if f"{kind}_{name}" in flags},
    }


def _video(flags: Mapping[str, Any]) -> dict[str, str]:
    if "video" not in flags:
        raise CliError("--video-… options need --video TYPE")
    video = {"TYPE": flags["video"], **{key: "YES" for key in ("IOMMU", "ATS") if f"video_{key.lower()}" in flags}}
    if "video_vram" in flags:
        video["VRAM"] = str(megabytes(flags["video_vram"], "--video-vram") * 1024)  # KB, as libvirt counts it
    if "video_resolution" in flags:
        if not re.fullmatch(r"\d{3,4}x\d{3,4}", flags["video_resolution"]):
            raise CliError(f"--video-resolution {flags['video_resolution']!r} is not a resolution, as in 1280x720")
        video["RESOLUTION"] = flags["video_resolution"]
    return video


def _context(flags: Mapping[str, Any]) -> dict[str, str]:
    context = dict(line(part) for text in flags.get("context", ()) for part in lines(text))
    if "ssh" in flags:
        context["SSH_PUBLIC_KEY"] = "$USER[SSH_PUBLIC_KEY]" if flags["ssh"] == FROM_USER else read(flags["ssh"]).strip()
    if "net_context" in flags:
        context["NETWORK"] = "YES"
    if "report_ready" in flags:
        context["REPORT_READY"] = "YES"
    if "startscript" in flags:
        from base64 import b64encode

        context["START_SCRIPT_BASE64"] = b64encode(read(flags["startscript"]).encode()).decode()
    if "files_ds" in flags:
        context["FILES_DS"] = " ".join(f'$FILE[IMAGE="{name}"]' for name in _items((flags["files_ds"],)))
    if "init" in flags:
        context["INIT_SCRIPTS"] = " ".join(_items((flags["init"],)))
    return context


def lines(text: str) -> list[str]:
    """TEXT cut at the commas that begin a new NAME=, so that a value may hold commas."""
    return re.split(r",(?=\s*\w+\s*=)", text)


def line(text: str) -> tuple[str, str]:
    """Name, in upper case, and value of `NAME=value`, whose value may stand in double quotes; raises CliError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise CliError(f"{text!r} is not NAME=value")
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return key.strip().upper(), value[1:-1] if quoted else value
