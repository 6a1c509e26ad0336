"""fence/ipmi: the host's service processor takes its power away, spoken to by ipmitool on the front-end."""
from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from drivers.base import Action, Context, Permanent, Temporary
from onecore.wire.messages import Doc

PASSWORD = 'IFS= read -r IPMI_PASSWORD && export IPMI_PASSWORD && exec "$@"'
"""Takes the password from standard input into the environment, so that it stands in no list of processes."""
COMMAND_SECONDS = 20.0


def fence(ctx: Context, args: Doc) -> Doc:
    """The host's power is off, as its service processor says; Temporary while it does not say so."""
    bmc = _Bmc(ctx, args["host"])
    if not bmc.is_off():
        bmc.ask("off")
        while not bmc.is_off():
            ctx.sleep(bmc.poll)
    return {"off": True}


class _Bmc:
    """The service processor of one host."""

    def __init__(self, ctx: Context, host: Doc) -> None:
        settings: Mapping[str, Any] = ctx.settings.get("ipmi") or {}
        self._ctx, self._name = ctx, str(host["name"])
        self._values = {key: _text(host, settings, key) for key in ("address", "user", "password", "port", "interface")}
        if not self._values["address"]:
            raise Permanent(f"host {self._name} has no IPMI_ADDRESS")
        self.poll = float(settings.get("poll", 2.0))

    def is_off(self) -> bool:
        """Whether it says that the power is off; Temporary when it says neither on nor off."""
        said = self.ask("status").strip().lower()
        if not said.endswith((" on", " off")):
            raise Temporary(f"whether {self._name} is off, its service processor does not say: {said[:200]!r}")
        return said.endswith(" off")

    def ask(self, what: str) -> str:
        """What ipmitool says to `chassis power WHAT`."""
        argv = ["sh", "-c", PASSWORD, "sh", *self._ipmitool(), "chassis", "power", what]
        try:
            return self._ctx.host({}).run(argv, stdin=f"{self._values['password']}\n".encode(), timeout=COMMAND_SECONDS)
        except (Permanent, Temporary) as error:
            words = str(error).replace(shlex.join(argv), f"ipmitool chassis power {what}")
            raise type(error)(words) from None

    def _ipmitool(self) -> list[str]:
        made = self._values
        options = [("-I", made["interface"] or "lanplus"), ("-H", made["address"]), ("-U", made["user"]),
                   ("-p", made["port"])]
        return ["ipmitool", *(word for option, value in options if value for word in (option, value)), "-E"]


def _text(host: Doc, settings: Mapping[str, Any], key: str) -> str:
    """A value of the host's attributes, or else of the settings: one line that is no option."""
    name = f"IPMI_{key.upper()}"
    value = str(host.get("attrs", {}).get(name) or settings.get(key) or "")
    if any(ord(character) < 32 for character in value) or (key != "password" and value.startswith("-")):
        raise Permanent(f"{name} of host {host['name']} is not one line of text")
    return value


ACTIONS: dict[str, Action] = {"fence": fence}
