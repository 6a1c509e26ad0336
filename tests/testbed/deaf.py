"""A server on the SSH port that takes every connection and never says a word: deaf.py ADDRESS, in the background."""
import os
import socket
import sys


def main(address: str) -> None:
    """Listen, leave the caller, and keep all that comes."""
    kept = []
    with socket.create_server((address, 22), backlog=128) as server:
        if os.fork():
            os._exit(0)
        os.setsid()
        for stream in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        with open("/proc/self/comm", "w") as name:
            name.write("deaf")
        while True:
            kept.append(server.accept())


main(sys.argv[1])
