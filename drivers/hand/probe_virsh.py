"""libvirt as virsh tells of it: several questions by one process, which never takes longer than it may."""
from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from drivers.hand import commands
from drivers.hand.failure import Failure
from drivers.hand.token import Token
from drivers.hand.wire import Doc

_AT_ONCE = 500
"""Questions of one process: they are one argument of it."""
_TRIES = 2
"""A virsh that ends too early, as when a libvirtd just goes or comes, says nothing of its host: it is asked again."""
_VERSION = re.compile(r"^Running (hypervisor|against daemon): (?:\S+ )?(\d[\d.]*)", re.MULTILINE)


class Answers(NamedTuple):
    """What virsh wrote for each question, nothing where it failed, and its complaints."""

    texts: list[str]
    complaints: str

    def needed(self, index: int) -> str:
        """The answer to a question that must not fail."""
        if not self.texts[index].strip():
            raise Failure(f"libvirt: {said(self.complaints)}", temporary=True)
        return self.texts[index]


class Virsh:
    """Asks the libvirt at a URI."""

    def __init__(self, uri: str, token: Token) -> None:
        self._uri = uri
        self._token = token

    def ask(self, questions: Sequence[str], end: float) -> Answers:
        """The answers to virsh commands; a Failure when they are not there at END (monotonic seconds)."""
        texts: list[str] = []
        complaints = ""
        for first in range(0, len(questions), _AT_ONCE):
            found = self._ask(questions[first:first + _AT_ONCE], end)
            texts += found.texts
            complaints += found.complaints
        return Answers(texts, complaints)

    def _ask(self, questions: Sequence[str], end: float) -> Answers:
        mark = f"@{secrets.token_hex(8)}@"
        script = "; ".join(f"{question}; echo {mark}" for question in questions)
        argv = ["virsh", "-q", "-c", self._uri, script]
        began = time.monotonic()
        for _ in range(_TRIES):
            done = commands.run(argv, b"", {}, self._token, max(0.1, end - time.monotonic()))
            if done.late:
                raise Failure(f"libvirt does not answer ({time.monotonic() - began:.0f} s)", temporary=True)
            texts = done.out.decode(errors="replace").split(mark)
            if len(texts) == len(questions) + 1:
                return Answers(texts[:-1], done.err)
        raise Failure(f"libvirt: {said(done.err) or commands.ended(argv[:1], done)}", temporary=True)


class Libvirt:
    """What a host's libvirt and QEMU are and offer: asked again when their versions change."""

    def __init__(self, virsh: Virsh) -> None:
        self._virsh = virsh
        self._version = ""
        self.offered: Doc = {}

    def ask(self, questions: Sequence[str], end: float) -> Answers:
        """The answers to QUESTIONS; `offered` is up to date then."""
        try:
            answers = self._virsh.ask(["version --daemon", *questions], end)
            version = answers.needed(0)
            if version != self._version:
                self.offered = self._offer(version, end)
                self._version = version
        except Failure:
            self._version = ""
            raise
        return Answers(answers.texts[1:], answers.complaints)

    def _offer(self, version: str, end: float) -> Doc:
        arch = os.uname().machine
        answers = self._virsh.ask(["hostname", "capabilities", f"cpu-models {arch}"], end)
        found = versions(version)
        return {"hostname": answers.needed(0).strip(), "arch": arch, "version": found.get("hypervisor", ""),
                "libvirt": found.get("against daemon", ""),
                "attrs": {"KVM_MACHINES": " ".join(machines(answers.needed(1), arch)),
                          "KVM_CPU_MODELS": " ".join(answers.texts[2].split())}}


def versions(text: str) -> dict[str, str]:
    """Numbers in what `version --daemon` says: of the `hypervisor` and of the libvirt it is `against daemon`."""
    return dict(_VERSION.findall(text))


def machines(capabilities: str, arch: str) -> list[str]:
    """The machine types for ARCH in libvirt's CAPABILITIES, sorted."""
    found = ElementTree.fromstring(capabilities).findall(f"guest/arch[@name='{arch}']")
    names = (node.text for each in found for node in each.iter("machine"))
    return sorted({name for name in names if name})


def said(complaints: str) -> str:
    """virsh's complaints in one line."""
    lines = (line.strip() for line in complaints.splitlines())
    return ": ".join(line[7:] if line.startswith("error: ") else line for line in lines if line)
