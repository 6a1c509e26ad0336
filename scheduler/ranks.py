"""Which of the hosts and datastores that can take a VM is the best: OpenNebula's policies and the VM's own ranks."""
from __future__ import annotations

from dataclasses import dataclass

from scheduler.requirements import Expression, parse_rank

HOST_POLICIES = {"packing": "RUNNING_VMS", "striping": "-RUNNING_VMS", "load-aware": "FREE_CPU", "custom": "",
                 "fixed": "PRIORITY"}
"""By OpenNebula's number, 0 to 4: the rank of a host, the highest is taken."""
STORE_POLICIES = {"packing": "-FREE_MB", "striping": "FREE_MB", "custom": "", "fixed": "PRIORITY"}
"""By OpenNebula's number, 0 to 3: the rank of a system datastore."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The ranks of VMs that bring none."""

    host: Expression
    store: Expression


def policy(host: str = "striping", host_rank: str = "", store: str = "striping", store_rank: str = "") -> Policy:
    """The policy of these names or numbers; the ranks are for `custom`.  Raises ValueError, ExpressionError."""
    return Policy(parse_rank(_rank(HOST_POLICIES, host, host_rank)),
                  parse_rank(_rank(STORE_POLICIES, store, store_rank)))


def _rank(known: dict[str, str], name: str, custom: str) -> str:
    by_number = dict(zip(map(str, range(len(known))), known, strict=True))
    name = by_number.get(name, name)
    if name not in known:
        raise ValueError(f"{name!r} is not a policy: {', '.join(f'{n} {word}' for n, word in by_number.items())}")
    return custom if name == "custom" else known[name]
