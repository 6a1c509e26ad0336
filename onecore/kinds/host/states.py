"""Every state a host can be in and every way it moves."""
from __future__ import annotations

from onecore.lifecycle.machine import Machine, row
from onecore.wire.states import HostState as S

UP = {S.INIT, S.MONITORED}

HOST = Machine("HOST", [
    # from                                event       to
    row({S.INIT, S.ERROR},                "seen",     S.MONITORED),
    row({S.MONITORED, S.DISABLED},        "seen",     ignore=True),
    row(S.OFFLINE,                        "seen",     ignore=True),
    row(UP,                               "lost",     S.ERROR),
    row({S.ERROR, S.DISABLED, S.OFFLINE}, "lost",     ignore=True),
    row({S.DISABLED, S.OFFLINE, S.ERROR}, "enable",   S.INIT),
    row(UP,                               "enable",   ignore=True),
    row(UP | {S.ERROR, S.OFFLINE},        "disable",  S.DISABLED),
    row(S.DISABLED,                       "disable",  ignore=True),
    row(UP | {S.ERROR, S.DISABLED},       "offline",  S.OFFLINE),
    row(S.OFFLINE,                        "offline",  ignore=True),
])
