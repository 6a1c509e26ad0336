"""What a hook's template may say, and which rows of the change log it means.  Pure."""
from __future__ import annotations

import re
import shlex

from onecore.errors import NotAllocated
from onecore.kinds.kind import whole
from onecore.pool.store import Event
from onecore.wire.states import HostState, ImageState, Lcm, VmState
from onecore.wire.template import Tree

NAMES = ("ARGUMENTS", "ARGUMENTS_STDIN", "CALL", "COMMAND", "LCM_STATE", "REMOTE", "RESOURCE", "STATE", "ON", "TIMEOUT",
         "DESCRIPTION")
"""What a template may hold, in the schema's order, then our own."""
ON: dict[str, dict[str, str]] = {
    "VM": {"CREATE": "create", "PROLOG": "PROLOG", "RUNNING": "RUNNING", "SHUTDOWN": "EPILOG", "STOP": "STOPPED",
           "DONE": "DONE", "UNKNOWN": "UNKNOWN"},
    "HOST": {"CREATE": "create", "ERROR": "ERROR", "DISABLE": "DISABLED", "ENABLE": "MONITORED"},
    "IMAGE": {"CREATE": "create", "READY": "READY", "ERROR": "ERROR"}}
"""ON of a state hook: the state that is come to, `create` for what is new."""
STATES: dict[str, tuple[str, ...]] = {"VM": tuple(s.name for s in VmState), "HOST": tuple(s.name for s in HostState),
                                      "IMAGE": tuple(s.name for s in ImageState)}
_RELATIVE = re.compile(r"[\w.-]+(/[\w.-]+)*\Z")
MAX_SECONDS, DEFAULT_SECONDS = 86400, 60


def checked(tree: Tree, calls: set[str]) -> Tree:
    """TREE in the schema's order; raises NotAllocated naming what is wrong.  CALLS: the methods that there are."""
    for name in tree.names():
        if name not in (*NAMES, "NAME", "TYPE"):
            raise NotAllocated(f"{name} means nothing to a hook, which may have {', '.join(NAMES)}")
    _check_command(tree)
    if tree.get("TYPE").lower() == "api":
        if tree.get("CALL") not in calls:
            raise NotAllocated(f"CALL must be a method, such as one.vm.allocate, not {tree.get('CALL')[:60]!r}")
    elif tree.get("TYPE").lower() == "state":
        wanted(tree)
    else:
        raise NotAllocated(f"TYPE must be api or state, not {tree.get('TYPE')[:40]!r}")
    return Tree((name, tree.get(name)) for name in NAMES if tree.get(name))


def _check_command(tree: Tree) -> None:
    command = tree.get("COMMAND")
    if ".." in command.split("/") or not (command.startswith("/") or _RELATIVE.match(command)):
        raise NotAllocated("COMMAND must be the path of a program, absolute or below HOME/hooks, without '..', not "
                           f"{command[:60]!r}")
    for name in ("ARGUMENTS_STDIN", "REMOTE"):
        if tree.get(name, "NO").upper() not in ("", "YES", "NO"):
            raise NotAllocated(f"{name} must be YES or NO, not {tree.get(name)[:40]!r}")
    if tree.get("TIMEOUT") and whole(tree.get("TIMEOUT"), 1, MAX_SECONDS) is None:
        raise NotAllocated(f"TIMEOUT must be seconds from 1 to {MAX_SECONDS}, not {tree.get('TIMEOUT')[:40]!r}")
    try:
        shlex.split(tree.get("ARGUMENTS"))
    except ValueError as error:
        raise NotAllocated(f"ARGUMENTS cannot be split into words: {error}") from None


def wanted(tree: Tree) -> tuple[str, str]:
    """(kind of object, state or `create`) of a state hook; raises NotAllocated naming what is wrong."""
    resource, on = tree.get("RESOURCE").upper(), tree.get("ON", "CUSTOM" if tree.get("STATE") else "").upper()
    if resource not in ON:
        raise NotAllocated(f"RESOURCE must be one of {', '.join(ON)}, not {tree.get('RESOURCE')[:40]!r}")
    if on in ON[resource]:
        return resource.lower(), ON[resource][on]
    if on != "CUSTOM":
        raise NotAllocated(f"ON of a hook of {resource} must be one of {', '.join((*ON[resource], 'CUSTOM'))}, "
                           f"not {on[:40]!r}")
    state, lcm = tree.get("STATE").upper(), tree.get("LCM_STATE").upper()
    if state not in STATES[resource]:
        raise NotAllocated(f"STATE of {resource} must be one of {', '.join(STATES[resource])}, not {state[:40]!r}")
    if resource != "VM" or state != "ACTIVE":
        return resource.lower(), state
    if lcm not in Lcm.__members__:
        raise NotAllocated(f"LCM_STATE must be the name of one, such as RUNNING, not {lcm[:40]!r}")
    return "vm", lcm


def matches(tree: Tree, type: str, event: Event) -> bool:
    """Whether a hook of that template and TYPE is about EVENT."""
    if type == "api":
        return event.kind == "api" and event.method == tree.get("CALL")
    kind, state = wanted(tree)
    if event.kind != kind:
        return False
    if state == "create":
        return event.what == "create"
    return event.what in ("state", "create") and event.new == state
