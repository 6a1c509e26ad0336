"""What a host's domain documents depend on: hypervisor, architecture and how CPU shares are counted there."""
from __future__ import annotations

from drivers.base import Context, Executor
from drivers.vm.domain import Facts
from drivers.vm.hypervisor import hypervisor
from onecore.wire.messages import Doc

_V2 = "/sys/fs/cgroup/cgroup.controllers"
_V1 = "/sys/fs/cgroup/cpu"


def host_facts(ctx: Context, host: Doc) -> Facts:
    """The facts of HOST."""
    executor = ctx.host(host)
    return Facts(hypervisor(ctx, host, executor), executor.run(["uname", "-m"]).strip(), cpu_shares(executor))


def cpu_shares(executor: Executor) -> int:
    """Shares of one whole CPU: 100 (the default weight) with cgroup v2, 1024 with v1, 0 where there is neither."""
    if executor.exists(_V2):
        return 100
    return 1024 if executor.exists(_V1) else 0
