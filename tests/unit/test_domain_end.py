"""The end of a domain whose libvirt fails, and sometimes without a word: an error that was wiped is asked for again."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

libvirt = pytest.importorskip("libvirt")

from drivers.base import Permanent, Temporary  # noqa: E402
from drivers.vm.errors import in_words  # noqa: E402
from drivers.vm.guest import Guest, end  # noqa: E402

GONE, INVALID, DENIED = libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_ACCESS_DENIED
WELL, WIPED = 0, -1
"""What a step comes to, beside the codes of libvirt."""


def failure(code: int) -> Exception:
    """libvirt's error of that code, or one whose word is lost."""
    error = libvirt.libvirtError("failed()")
    if code != WIPED:
        error.err = (code, libvirt.VIR_FROM_QEMU, "told", 2, "", "", "", 0, 0)
    return error  # type: ignore[no-any-return]


class Domain:
    """Its steps come to what the test says, one after the other."""

    def __init__(self, destroys: tuple[int, ...], undefines: tuple[int, ...]) -> None:
        self._destroys, self._undefines = iter(destroys), iter(undefines)

    def destroy(self) -> None:
        self._step(self._destroys)

    def undefine(self) -> None:
        self._step(self._undefines)

    @staticmethod
    def _step(codes: Iterator[int]) -> None:
        if code := next(codes):
            raise failure(code)


@pytest.mark.parametrize(("destroys", "undefines"), [
    ((WELL,), (WELL,)), ((GONE,), ()), ((INVALID,), (WELL,)), ((WELL,), (INVALID,)), ((WELL,), (GONE,)),
    ((WELL,), (WIPED, GONE)), ((WIPED, GONE), ()), ((WIPED, INVALID), (WIPED, WELL))])
def test_it_is_gone(destroys: tuple[int, ...], undefines: tuple[int, ...]) -> None:
    domain = Domain(destroys, undefines)
    end(Guest(domain, 7, 1, "running"))
    assert [*domain._destroys, *domain._undefines] == [], "each was asked"


@pytest.mark.parametrize("destroys", [(DENIED,), (WIPED, DENIED), (WIPED, WIPED)])
def test_it_is_not_gone(destroys: tuple[int, ...]) -> None:
    with pytest.raises(libvirt.libvirtError):
        end(Guest(Domain(destroys, ()), 7, 1, "running"))


def test_an_error_without_a_word_may_pass() -> None:
    assert isinstance(in_words(failure(WIPED), "ending VM 7"), Temporary)
    assert isinstance(in_words(failure(DENIED), "ending VM 7"), Permanent)
