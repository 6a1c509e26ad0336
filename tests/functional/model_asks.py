"""What users ask of VMs, each with what the model says must be answered and what must follow."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from model_cloud import Ask, Beside, nothing
from model_vm import ABSENT, MANAGE, UNFIT, WAYS, WRONG, Disk, Machine

SIMPLE = ("hold", "poweroff", "poweroff-hard", "reboot", "reboot-hard", "release", "resched", "resume", "stop",
          "suspend", "terminate", "terminate-hard", "undeploy", "undeploy-hard", "unresched")
"""The actions of one.vm.action."""
LATER = 2_000_000_000
"""When what is planned is due: after the end of every life."""
CPU, MEMORY = (0.5, 1.0, 2.0), (32, 64, 128, 512)


def chosen(ids: Iterable[int], pick: int) -> int:
    """One of some ids, sometimes one that is not among them."""
    there = [*sorted(ids)] * 2 + [77]
    return there[pick % len(there)]


def imaged(vm: Machine) -> list[int]:
    """Its disks of which snapshots are made."""
    return [number for number, disk in vm.disks.items() if disk.made_of]


def snapped(vm: Machine) -> list[int]:
    """Its disks of which there are snapshots."""
    return [number for number, disk in vm.disks.items() if disk.snaps]


HAS: dict[str, Callable[[Machine], object]] = {
    "disk_snapshot": imaged, "disk_snapshot_delete": snapped, "disk_snapshot_revert": snapped,
    **dict.fromkeys(("snapshot_delete", "snapshot_revert"), lambda vm: vm.moments),
    **dict.fromkeys(("put_off", "give_up_plan"), lambda vm: vm.planned)}
"""What a VM must have for what is asked."""


class Asks(Beside):
    """By the names of the actions."""

    def simple(self, ask: Ask, action: str) -> None:
        """One of SIMPLE."""
        def marked() -> None:
            if action in ("resched", "unresched", "reboot", "reboot-hard"):
                ask.vm.resched = action == "resched"
        self.change(ask, action, "action", action, ask.oid, done=marked)

    def deploy(self, ask: Ask) -> None:
        """On one of the hosts."""
        host = self.hosts[ask.pick % 2]
        self.change(ask, "deploy", "deploy", ask.oid, host, done=lambda: setattr(ask.vm, "host", host))

    def migrate(self, ask: Ask) -> None:
        """To a host, where it may be already; as it runs, or in one of the three other ways."""
        host = self.hosts[ask.pick % 2]
        if ask.pick > 1 and ask.vm.host in self.hosts:
            host = self.hosts[1 - self.hosts.index(ask.vm.host)]
        kind, live = ask.other % 4 % 3, ask.other % 4 == 3
        self.change(ask, "live" if live else "migrate", "migrate", ask.oid, host, live, False, -1, kind,
                    error=UNFIT if ask.vm.host == host else 0, done=lambda: setattr(ask.vm, "host", host))

    # -- disks

    def attach(self, ask: Ask) -> None:
        """A disk more, whose id no other one had."""
        made_of, given, disks = ("", *self.bases)[ask.pick % 3], ask.vm.next_disk, ask.vm.disks
        text = f"IMAGE_ID={self.bases[made_of]}" if made_of else "TYPE=fs,SIZE=10,FORMAT=raw"
        if self.change(ask, "attach", "attach", ask.oid, f"DISK=[{text}]", error=UNFIT if ask.vm.moments else 0,
                       done=lambda: disks.update({given: Disk(made_of)})) is not None:
            ask.vm.next_disk += 1

    def detach(self, ask: Ask) -> None:
        """A disk less, with its snapshots."""
        number, disks = chosen(ask.vm.disks, ask.pick), ask.vm.disks
        self.change(ask, "detach", "detach", ask.oid, number, done=lambda: nothing(disks.pop(number)),
                    error=UNFIT if ask.vm.moments or number not in disks else 0)

    def disk_resize(self, ask: Ask) -> None:
        """Larger, never smaller."""
        number, more = chosen(ask.vm.disks, ask.pick), ask.other % 5 - 1
        disk = ask.vm.disks.get(number, Disk(""))
        size = disk.size + more
        wrong = number not in ask.vm.disks or more < 1 or ask.vm.moments
        self.change(ask, "diskresize", "diskresize", ask.oid, number, str(size), error=UNFIT if wrong else 0,
                    done=lambda: setattr(disk, "size", size))

    def disk_snapshot(self, ask: Ask) -> None:
        """Of an image's disk; its id is given once."""
        number = chosen([*ask.vm.disks, *imaged(ask.vm) * 2], ask.pick)
        disk = ask.vm.disks.get(number, Disk(""))
        given = disk.next
        answer = self.change(ask, "disksnapshotcreate", "disksnapshotcreate", ask.oid, number, "s",
                             done=lambda: disk.snap(given), error=0 if disk.made_of and not ask.vm.moments else UNFIT)
        if answer is not None:
            assert answer == given
            disk.next += 1

    def disk_snapshot_delete(self, ask: Ask) -> None:
        """Not the active one, nor one that others stand on."""
        number = chosen([*ask.vm.disks, *snapped(ask.vm) * 3], ask.pick)
        disk = ask.vm.disks.get(number, Disk(""))
        gone = chosen(disk.snaps, ask.other)
        stays = gone not in disk.snaps or gone == disk.base or disk.children(gone) or ask.vm.moments
        self.change(ask, "disksnapshotdelete", "disksnapshotdelete", ask.oid, number, gone,
                    done=lambda: nothing(disk.snaps.pop(gone)), error=UNFIT if stays else 0)

    def disk_snapshot_revert(self, ask: Ask) -> None:
        """The disk stands on it from then on."""
        number = chosen([*ask.vm.disks, *snapped(ask.vm) * 3], ask.pick)
        disk = ask.vm.disks.get(number, Disk(""))
        to = chosen(disk.snaps, ask.other)
        self.change(ask, "disksnapshotrevert", "disksnapshotrevert", ask.oid, number, to,
                    done=lambda: setattr(disk, "base", to),
                    error=UNFIT if to not in disk.snaps or ask.vm.moments else 0)

    def save_as(self, ask: Ask) -> None:
        """A disk, or a snapshot of it, becomes an image of who asks."""
        number = chosen(ask.vm.disks, ask.pick)
        disk = ask.vm.disks.get(number, Disk(""))
        snap = chosen(disk.snaps, ask.other) if ask.other % 2 else -1
        wrong = number not in ask.vm.disks or snap not in (-1, *disk.snaps)
        size = disk.size if snap == -1 or wrong else disk.snaps[snap][1]
        made: list[int] = []

        def becomes(state: str) -> Callable[[], None]:
            return lambda: self.images.update((image, (ask.user, size, state)) for image in made)
        answer = self.change(ask, "disksaveas", "disksaveas", ask.oid, number, f"copy{len(self.images)}", "", snap,
                             error=UNFIT if wrong else 0, done=becomes("READY"), undone=becomes("ERROR"))
        if answer is not None:
            made.append(int(str(answer)))
            becomes("LOCKED" if ask.vm.under else "READY")()

    # -- system snapshots

    def snapshot(self, ask: Ask) -> None:
        """One more."""
        moments, given = ask.vm.moments, max(ask.vm.moments, default=-1) + 1
        answer = self.change(ask, "snapshotcreate", "snapshotcreate", ask.oid, "", done=lambda: moments.add(given))
        assert answer in (None, given)

    def snapshot_delete(self, ask: Ask) -> None:
        """One less."""
        moments, number = ask.vm.moments, chosen(ask.vm.moments, ask.pick)
        self.change(ask, "snapshotdelete", "snapshotdelete", ask.oid, number, done=lambda: moments.remove(number),
                    error=0 if number in moments else WRONG)

    def snapshot_revert(self, ask: Ask) -> None:
        """Nothing that the API shows changes."""
        number = chosen(ask.vm.moments, ask.pick)
        self.change(ask, "snapshotrevert", "snapshotrevert", ask.oid, number,
                    error=0 if number in ask.vm.moments else WRONG)

    # -- NICs, size, configuration

    def attach_nic(self, ask: Ask) -> None:
        """One more."""
        nics, given = ask.vm.nics, max(ask.vm.nics, default=-1) + 1
        self.change(ask, "attachnic", "attachnic", ask.oid, f"NIC=[NETWORK_ID={self.network}]",
                    done=lambda: nics.add(given))

    def detach_nic(self, ask: Ask) -> None:
        """One less."""
        nics, number = ask.vm.nics, chosen(ask.vm.nics, ask.pick)
        self.change(ask, "detachnic", "detachnic", ask.oid, number, done=lambda: nics.remove(number),
                    error=0 if number in nics else WRONG)

    def resize(self, ask: Ask) -> None:
        """What runs grows to MEMORY_MAX; what is of that size already is as it is."""
        vm, size = ask.vm, (CPU[ask.pick % 3], MEMORY[ask.other % 4])
        text = f"CPU={size[0]:g}\nMEMORY={size[1]}"
        if vm.size == size and vm.state == "RUNNING":
            self.expect(vm.verdict(ask.user, MANAGE), ask.user, "one.vm.resize", ask.oid, text, True)
            self.goes_on(ask.oid)
            return
        too_much = vm.state == "RUNNING" and size[1] > max(256, vm.size[1])
        self.change(ask, "resize", "resize", ask.oid, text, True, done=lambda: setattr(vm, "size", size),
                    error=UNFIT if too_much else 0)

    def configure(self, ask: Ask) -> None:
        """Another context, also where something is under way that no guest lives through; what a guest that runs did
        not get is for its next start."""
        vm, value, text = ask.vm, ask.other, f"CONTEXT=[A={ask.other}]"
        if vm.under and vm.way("updateconf"):
            answer = self.expect(vm.verdict(ask.user, MANAGE), ask.user, "one.vm.updateconf", ask.oid, text, 1)
        else:
            answer = self.change(ask, "updateconf", "updateconf", ask.oid, text, 1)
        if answer is not None:
            vm.context = value

    # -- what is planned, in any state

    def plan(self, ask: Ask) -> None:
        """Each thing once."""
        new = (SIMPLE[1 + ask.pick % 4], LATER + ask.other)
        error = ask.vm.verdict(ask.user, MANAGE) or (WRONG if new in ask.vm.planned.values() else 0)
        made = self.expect(error, ask.user, "one.vm.schedadd", ask.oid, f"SCHED_ACTION=[ACTION={new[0]},TIME={new[1]}]")
        if made is not None:
            ask.vm.planned[int(str(made))] = new

    def put_off(self, ask: Ask) -> None:
        """Another time."""
        number, time = chosen(ask.vm.planned, ask.pick), LATER + ask.other
        error = ask.vm.verdict(ask.user, MANAGE) or (0 if number in ask.vm.planned else ABSENT)
        text = f"SCHED_ACTION=[TIME={time}]"
        if self.expect(error, ask.user, "one.vm.schedupdate", ask.oid, number, text) is not None:
            ask.vm.planned[number] = (ask.vm.planned[number][0], time)

    def give_up_plan(self, ask: Ask) -> None:
        """One less."""
        number = chosen(ask.vm.planned, ask.pick)
        error = ask.vm.verdict(ask.user, MANAGE) or (0 if number in ask.vm.planned else ABSENT)
        if self.expect(error, ask.user, "one.vm.scheddelete", ask.oid, number) is not None:
            del ask.vm.planned[number]


DISKS = {
    "attach": "attach", "detach": "detach", "disk_resize": "diskresize", "disk_snapshot": "disksnapshotcreate",
    "disk_snapshot_delete": "disksnapshotdelete", "disk_snapshot_revert": "disksnapshotrevert", "save_as": "disksaveas"}
PARTS = {
    "snapshot": "snapshotcreate", "snapshot_delete": "snapshotdelete", "snapshot_revert": "snapshotrevert",
    "attach_nic": "attachnic", "detach_nic": "detachnic", "resize": "resize", "configure": "updateconf",
    **dict.fromkeys(("plan", "put_off", "give_up_plan"), "")}
"""What is asked for with what VMs have, and the action of WAYS that says which VMs it fits."""
assert {*DISKS.values(), *PARTS.values(), *SIMPLE, "deploy", "migrate", "live"} - {""} == WAYS.keys()
