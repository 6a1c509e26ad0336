"""Run a program and reap at once whatever it leaves to be reaped: reap.py PROGRAM ARGUMENT...

libvirtd takes a QEMU for running until its last trace is gone, and a machine without an init system may have a first
process that looks after orphans late or never.  Ends when the program and all that it left have ended.
"""
import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Become the parent of orphans, start the program, reap."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    subprocess.Popen(sys.argv[1:])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
