"""The history of a VM: where it was, since when, and what ended each stay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli import sections
from cli.cells import clock, lasted, number, value

if TYPE_CHECKING:
    from onecore.wire.xmlbody import Body

ACTIONS = {
    0: "none",
    1: "migrate",
    2: "live-migrate",
    3: "shutdown",
    4: "shutdown-hard",
    5: "undeploy",
    6: "undeploy-hard",
    7: "hold",
    8: "release",
    9: "stop",
    10: "suspend",
    11: "resume",
    12: "boot",
    13: "delete",
    14: "delete-recreate",
    15: "reboot",
    16: "reboot-hard",
    17: "resched",
    18: "unresched",
    19: "poweroff",
    20: "poweroff-hard",
    21: "disk-attach",
    22: "disk-detach",
    23: "nic-attach",
    24: "nic-detach",
    25: "disk-snapshot-create",
    26: "disk-snapshot-delete",
    27: "terminate",
    28: "terminate-hard",
    29: "disk-resize",
    30: "deploy",
    31: "chown",
    32: "chmod",
    33: "updateconf",
    34: "rename",
    35: "resize",
    36: "update",
    37: "snapshot-create",
    38: "snapshot-delete",
    39: "snapshot-revert",
    40: "disk-saveas",
    41: "disk-snapshot-revert",
    42: "recover",
    43: "retry",
    44: "monitor",
    45: "disk-snapshot-rename",
    46: "alias-attach",
    47: "alias-detach",
    48: "poweroff-migrate",
    49: "poweroff-hard-migrate",
    51: "nic-update",
}
"""Names of the numbers in HISTORY/ACTION."""


def history(body: Body) -> list[str]:
    """The table of the stays, oldest first."""
    now = time.time()
    rows = []
    for record in body.findall("HISTORY_RECORDS/HISTORY"):
        begun, ended = number(record, "STIME"), number(record, "ETIME")
        prolog = (
            max(0.0, (number(record, "PETIME") or now) - number(record, "PSTIME")) if number(record, "PSTIME") else 0.0
        )
        action = int(number(record, "ACTION"))
        rows.append(
            [
                value(record, "SEQ"),
                _asked(record, "UID"),
                _asked(record, "REQUEST_ID"),
                value(record, "HOSTNAME"),
                ACTIONS.get(action, str(action)),
                value(record, "DS_ID"),
                clock(begun),
                lasted((ended or now) - begun, full=True),
                lasted(prolog, full=True).strip()[3:],
            ]
        )
    return sections.grid(
        [
            ("SEQ", 3, False),
            ("UID", 4, True),
            ("REQ", 5, True),
            ("HOST", 15, True),
            ("ACTION", 12, True),
            ("DS", 4, False),
            ("START", 14, True),
            ("TIME", 14, False),
            ("PROLOG", 9, False),
        ],
        rows,
    )


def _asked(record: Body, name: str) -> str:
    """Who or what asked for the action that ended the stay; - when nobody did."""
    found = value(record, name, "-")
    return "-" if found == "-1" else found
