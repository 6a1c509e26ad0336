"""Commands as values: what a driver wants done on a host, decided before anything is done."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.base import Executor


@dataclass(frozen=True, slots=True)
class Run:
    """Run argv, never a shell string; `timeout` in seconds."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file whole."""

    path: str
    data: bytes
    mode: int = 0o644


Step = Run | Write


def run(*argv: str, stdin: bytes = b"", timeout: float | None = None) -> Run:
    """A Run of the words given."""
    return Run(argv, stdin, timeout)


def perform(executor: Executor, steps: Iterable[Step]) -> list[str]:
    """Do the steps in order and give the output of each Run; the first that fails ends it with its error."""
    outputs: list[str] = []
    for step in steps:
        if isinstance(step, Write):
            executor.write(step.path, step.data, step.mode)
        else:
            outputs.append(executor.run(step.argv, stdin=step.stdin, timeout=step.timeout))
    return outputs
