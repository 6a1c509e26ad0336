"""`onevm deploy --force`: a sixth argument, and a warning on standard error."""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


def test_force_is_told_and_warned_of(one: Runner, cloud: Cloud) -> None:
    """Only when it is given: other servers know no sixth argument."""
    cloud.answers["one.vm.deploy"] = 7
    plain, forced = one("vm", "deploy", "7", "3"), one("vm", "deploy", "7", "3", "--force")
    assert cloud.made("one.vm.deploy") == [(7, 3, False, -1, ""), (7, 3, False, -1, "", True)]
    assert plain.err == "" and forced.code == 0 and forced.err.startswith("warning: a VM that still runs on its")
