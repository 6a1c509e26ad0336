"""Where oned listens: its sockets and certificate, tried before anything else is begun."""
from __future__ import annotations

import ipaddress
import socket
import ssl

from onecore.config import ConfigError, Server


def sockets(server: Server) -> list[socket.socket]:
    """Bound, not listening yet; raises ConfigError saying what stands in the way."""
    made = list[socket.socket]()
    try:
        for family, kind, _, _, address in socket.getaddrinfo(server.listen, server.port, type=socket.SOCK_STREAM,
                                                              flags=socket.AI_PASSIVE):
            one = socket.socket(family, kind)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
    except OSError as error:
        for one in made:
            one.close()
        raise ConfigError(f"cannot listen on {server.listen} port {server.port} (server.listen, server.port): "
                          f"{error.strerror or error}") from None
    return made


def check_tls(server: Server) -> None:
    """Raise ConfigError unless the certificate, when there is one, can be used."""
    if not server.tls_cert:
        if server.tls_key:
            raise ConfigError("server.tls_key is set, but server.tls_cert is not")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_cert, server.tls_key or None)
    except OSError as error:  # SSLError is one
        key = server.tls_key or "(in the same file)"
        raise ConfigError(f"server.tls_cert {server.tls_cert} with server.tls_key {key} cannot be used: "
                          f"{error.strerror or error}") from None


def plain(server: Server) -> bool:
    """Whether passwords would cross a network in the clear."""
    try:
        local = ipaddress.ip_address(server.listen).is_loopback
    except ValueError:
        local = server.listen == "localhost"
    return not local and not server.tls_cert
