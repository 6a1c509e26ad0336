"""A connection from nothing to authenticated, each stage within one time limit."""
from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

from drivers.base import DriverError, Permanent, Temporary
from drivers.ssh.keys import client_keys
from drivers.ssh.settings import Settings, Target
from drivers.ssh.trust import Trust

_KEEPALIVE = 10
_GONE_MS = 30_000
_IDLE = 5.0
"""Seconds between looks of the transport's thread at what is not the socket."""
WINDOW = 4 * 1024 * 1024
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def connect(target: Target, settings: Settings, home: Path) -> paramiko.Transport:
    """An authenticated transport to TARGET; Temporary or Permanent within `connect_timeout` seconds."""
    keys = client_keys(home, settings)
    trust = Trust(home, settings)
    end = time.monotonic() + settings.connect_timeout
    with _said(target, settings), _socket(target, end) as sock:
        transport = paramiko.Transport(sock, default_window_size=WINDOW)
        try:
            _negotiate(transport, trust.kinds(target), end)
            trust.verify(target, transport.get_remote_server_key())
            _authenticate(transport, target, keys, end)
        except BaseException:
            abort(transport)
            raise
    transport.set_keepalive(_KEEPALIVE)
    transport.sock.settimeout(_IDLE)
    return transport


def abort(transport: paramiko.Transport) -> None:
    """End a transport at once, whatever its far end does; its thread ends by itself, whoever waits gets an error."""
    with suppress(OSError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.packetizer.close()


def close(channel: paramiko.Channel) -> None:
    """Close a channel, of a connection that may be lost."""
    with suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()


@contextmanager
def _said(target: Target, settings: Settings) -> Iterator[None]:
    """What goes wrong, with the host's name."""
    try:
        yield
    except DriverError:
        raise
    except TimeoutError:
        raise Temporary(f"{target}: no answer from its SSH server within {settings.connect_timeout:g} s") from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        text = getattr(error, "strerror", None) or str(error) or "the connection was closed"
        raise Temporary(f"{target}: SSH: {text}") from error


@contextmanager
def _socket(target: Target, end: float) -> Iterator[socket.socket]:
    sock = _reached(target, end)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MS)
        yield sock
    except BaseException:
        sock.close()
        raise


def _reached(target: Target, end: float) -> socket.socket:
    """A socket to the first address that takes us; one that says nothing leaves the others their part of the time."""
    found = socket.getaddrinfo(target.name.strip("[]"), target.port, type=socket.SOCK_STREAM)
    refused: OSError = TimeoutError()
    for left, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(end) / left)
            sock.connect(address)
            sock.settimeout(_left(end))
            return sock
        except OSError as error:
            sock.close()
            refused = error
    raise refused


def _negotiate(transport: paramiko.Transport, known: list[str], end: float) -> None:
    """Agree on keys; the kinds that are KNOWN of the host are wanted first."""
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = _left(end) + 1
    options = transport.get_security_options()
    options.ciphers = _first(options.ciphers, _CIPHERS)
    wanted = [each for kind in known for each in _algorithms(kind)]
    options.key_types = _first(options.key_types, wanted)
    transport.start_client(timeout=_left(end))
    if not transport.initial_kex_done:
        raise TimeoutError


def _first(offered: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return sorted(offered, key=lambda each: wanted.index(each) if each in wanted else len(wanted))


def _algorithms(kind: str) -> list[str]:
    return ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] if kind == "ssh-rsa" else [kind]


def _authenticate(transport: paramiko.Transport, target: Target, keys: list[paramiko.PKey], end: float) -> None:
    for key in keys:
        transport.auth_timeout = _left(end)
        try:
            transport.auth_publickey(target.user, key)
        except paramiko.AuthenticationException as error:
            if time.monotonic() >= end:
                raise TimeoutError from error
            continue
        if transport.is_authenticated():
            return
    shown = ", ".join(key.fingerprint for key in keys)
    raise Permanent(f"{target}: its SSH server takes none of our keys for {target.user} ({shown}); "
                    f"add the public key to {target.user}'s authorized_keys there")


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
