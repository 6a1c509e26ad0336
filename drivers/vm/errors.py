"""libvirt's errors in the drivers' words: what may be tried again and what may not."""
from __future__ import annotations

import libvirt

from drivers.base import DriverError, Permanent, Temporary

_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN})
_LOST = frozenset({libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_RPC})
_FOR_NOW = _LOST | {
    libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_RESOURCE_BUSY, libvirt.VIR_ERR_OPERATION_ABORTED}
_CLOSED = "client socket is closed"


def is_gone(error: libvirt.libvirtError) -> bool:
    """Whether there is no such domain."""
    return error.get_error_code() in _GONE


def is_lost(error: libvirt.libvirtError) -> bool:
    """Whether the connection, not the request, is what failed."""
    return (error.get_error_code() in _LOST or error.get_error_domain() == libvirt.VIR_FROM_RPC
            or _CLOSED in str(error))


def is_unsaid(error: libvirt.libvirtError) -> bool:
    """Whether libvirt's word is lost: freeing any object of its in the same thread, as the collector does, wipes it."""
    return error.get_error_code() is None


def in_words(error: libvirt.libvirtError, doing: str) -> DriverError:
    """The driver error for ERROR, met while DOING something."""
    temporary = error.get_error_code() in _FOR_NOW or is_lost(error) or is_unsaid(error)
    kind = Temporary if temporary else Permanent
    return kind(f"{doing}: {error.get_error_message() or error}")
