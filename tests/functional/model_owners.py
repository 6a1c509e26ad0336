"""What owners do with VMs, and operators: each with what the model says must be answered and what must follow."""
from __future__ import annotations

from model_asks import Asks
from model_cloud import ALLOWANCE
from model_vm import (
    ADMIN,
    ADMINISTER,
    FAILS,
    FORBIDDEN,
    GROUPS,
    LOCKED,
    MANAGE,
    NO_SUCCESS,
    SUCCESS,
    UNFIT,
    WORDS,
    Machine,
)


class Owners(Asks):
    """`number` says which bit, level or user."""

    def chmod(self, user: str, oid: int, vm: Machine, number: int) -> None:
        """One bit; those of ADMIN are given by who has ADMIN."""
        who, right, bits = number // 3 % 3, number % 3, [-1] * 9
        bits[3 * who + right] = on = int(number < 9)
        need = ADMINISTER if right == ADMINISTER else MANAGE
        if self.expect(vm.verdict(user, need), user, "one.vm.chmod", oid, *bits) is not None:
            vm.bits[who][right] = bool(on)

    def chown(self, user: str, oid: int, vm: Machine, number: int) -> None:
        """To another user, within his quota; the group stays."""
        owner, error = sorted(GROUPS)[number % 3], vm.verdict(ADMIN, MANAGE)
        if not error and owner == "bob" != vm.owner and self.alive("bob") >= ALLOWANCE:
            error = FORBIDDEN
        if self.expect(error, ADMIN, "one.vm.chown", oid, self.uid[owner], -1) is not None:
            vm.owner = owner

    def lock(self, user: str, oid: int, vm: Machine, number: int) -> None:
        """Over one's own lock, or where there is none; oneadmin over any."""
        error, level = vm.verdict(user, MANAGE, locked=False), 1 + number % 4
        if not error and vm.lock[0] and user not in (ADMIN, vm.lock[1]):
            error = LOCKED
        if self.expect(error, user, "one.vm.lock", oid, level, False) is not None:
            vm.lock = (level, user)

    def unlock(self, user: str, oid: int, vm: Machine, number: int) -> None:
        """Whoever set it, or oneadmin."""
        error = vm.verdict(user, MANAGE, locked=False)
        if not error and vm.lock[0] and user not in (ADMIN, vm.lock[1]):
            error = FORBIDDEN
        if self.expect(error, user, "one.vm.unlock", oid) is not None:
            vm.lock = (0, "")

    def rename(self, user: str, oid: int, vm: Machine, number: int) -> None:
        """Another name each time."""
        name = f"{vm.name}x"
        if self.expect(vm.verdict(user, MANAGE), user, "one.vm.rename", oid, name) is not None:
            vm.name = name

    # -- what operators say

    def say(self, user: str, oid: int, word: str) -> None:
        """One of WORDS; that a step succeeded is believed where the host shows it.  Where an operation changed half of
        the guest already when it was held, nobody says so."""
        vm = self.model[oid]
        error = vm.verdict(user, ADMINISTER)
        if word in WORDS[:3]:
            error = error or (0 if vm.under else UNFIT)
        if word == "success" and not error:
            if vm.state not in NO_SUCCESS | SUCCESS:
                return
            error = UNFIT if vm.state in NO_SUCCESS else 0
        if self.expect(error, user, "one.vm.recover", oid, WORDS.index(word), False) is not None:
            getattr(self, f"_{word}")(oid, vm)

    def _success(self, oid: int, vm: Machine) -> None:
        self.goes_on(oid)

    def _retry(self, oid: int, vm: Machine) -> None:
        assert vm.under is not None
        vm.state = vm.under.way.via

    def _failure(self, oid: int, vm: Machine) -> None:
        """What failed already stays so, but a move that failed goes back to where it began."""
        assert vm.under is not None
        if vm.state in FAILS:
            vm.state = FAILS[vm.state]
        elif vm.state.startswith("PROLOG_MIGRATE") or vm.state not in FAILS.values():
            self.back(oid, vm.under.began)

    def _delete(self, oid: int, vm: Machine) -> None:
        self.back(oid, "DONE")

    def _deletedb(self, oid: int, vm: Machine) -> None:
        self.forgotten.add(oid)
        self.back(oid, "DONE")

    def _recreate(self, oid: int, vm: Machine) -> None:
        """What was on its way is the new one's, too."""
        if vm.under and vm.under.action in ("attach", "attachnic"):
            vm.under.done()
        self.back(oid, "PENDING")
        vm.begins_anew()
