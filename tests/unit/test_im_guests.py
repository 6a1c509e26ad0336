"""Domains as virsh tells of them: recorded answers, and a virsh that is played."""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.hand.failure import Failure
from drivers.hand.probe_guests import CpuUse, Guests, Identity, counters, disk_sizes, domains, identity, sample
from drivers.hand.probe_virsh import Answers, Libvirt, Virsh, machines, said, versions
from drivers.hand.survey import described, interfaces, quoted
from drivers.hand.token import Token

GOLDEN = Path(__file__).parents[1] / "golden" / "virsh"
WILD = 'it\'s a "wild" one  7 running'


def recorded(name: str) -> str:
    return (GOLDEN / name).read_text()


def test_counters_come_apart_by_domain() -> None:
    found = counters(recorded("domstats.txt"))
    assert set(found) == {"one-7", "one-8", WILD}
    assert found["one-7"]["net.0.rx.bytes"] == "110" and found[WILD]["block.count"] == "0"


def test_lists_have_names_with_blanks_and_quotes() -> None:
    assert domains(recorded("list.txt")) == [("1", "one-7", "running"), ("2", "one-8", "suspended"),
                                             ("3", WILD, "running")]
    assert domains(recorded("list-all.txt"))[-1] == ("", "one-9", "poweroff")
    assert domains(" -   a-b   in shutdown\n") == [("", "a-b", "running")] and domains("\n") == []


def test_a_domain_says_whose_it_is() -> None:
    xml = recorded("dumpxml.xml")
    assert identity(xml) == Identity(7, 3, "8c4af1bb-b712-4246-afc5-9be1ebff71a7")
    assert identity(xml.replace("urn:onecore:domain:1", "urn:other")) is None
    assert identity(xml.replace('generation="3"', 'generation="x"')) is None and identity("") is None
    assert interfaces(xml) == ["one-7-0"]


def test_a_recorded_domain_becomes_a_sample() -> None:
    stats = counters(recorded("domstats.txt"))
    assert sample("one-7", Identity(7, 3, "u"), stats["one-7"], 12.5) == {
        "id": 7, "generation": 3, "uuid": "u", "deploy_id": "one-7", "state": "running", "cpu": 12.5,
        "memory_kb": int(stats["one-7"]["balloon.rss"]), "netrx": 110, "nettx": 0, "diskrdbytes": 512,
        "diskwrbytes": 0, "diskrdiops": 1, "diskwriops": 0, "disk_size": [{"id": 0, "size_mb": 1}]}
    assert sample("one-8", Identity(8, 12, ""), stats["one-8"], 0)["state"] == "suspended"
    stranger = sample(WILD, None, stats[WILD], 0)
    assert (stranger["id"], stranger["generation"], stranger["deploy_id"]) == (-1, -1, WILD)


def test_counters_are_summed_over_devices() -> None:
    found = sample("one-4", None, {"net.count": "2", "net.0.rx.bytes": "1", "net.1.rx.bytes": "2", "block.count": "2",
                                   "block.0.wr.reqs": "3", "block.1.wr.reqs": "6", "balloon.current": "9"}, 0)
    assert found["netrx"] == 3 and found["diskwriops"] == 9 and found["memory_kb"] == 9


def test_disks_are_known_by_their_number_and_others_left_out() -> None:
    assert disk_sizes({"block.count": "3", "block.0.path": "/ds/0/4/disk.2", "block.0.physical": "1048577",
                       "block.1.path": "/iso/cd.iso", "block.1.physical": "5", "block.2.physical": "5"}) == [
        {"id": 2, "size_mb": 2}]


def test_cpu_is_percent_of_a_core_since_the_sample_before() -> None:
    use, key = CpuUse(), ("one-4", "1")
    assert use.percent({key: {"cpu.time": "5000000000"}}, 100.0) == {}
    assert use.percent({key: {"cpu.time": "8000000000"}}, 102.0) == {key: 150.0}
    assert use.percent({key: {"cpu.time": "1"}}, 103.0) == {}, "less than before: another run"
    assert use.percent({("one-4", "2"): {"cpu.time": "9"}}, 104.0) == {}


def test_versions_and_machines() -> None:
    assert versions(recorded("version.txt")) == {"hypervisor": "7.2.22", "against daemon": "9.0.0"}
    xml = ("<capabilities><guest><arch name='i686'><machine>isapc</machine></arch></guest><guest>"
           "<arch name='x86_64'><machine>q35</machine><machine>pc</machine>"
           "<domain type='kvm'><machine>q35</machine></domain></arch></guest></capabilities>")
    assert machines(xml, "x86_64") == ["pc", "q35"]


def test_complaints_are_one_line() -> None:
    assert said("error: failed to connect\nerror: No such file\n\n") == "failed to connect: No such file"


def test_names_are_quoted_as_virsh_reads_them() -> None:
    assert quoted('a "b" \\ c') == '"a \\"b\\" \\\\ c"'


PLAYED = """#!{python}
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/asked", "a") as asked:
    asked.write(sys.argv[-1] + chr(10))
answers = json.load(open(here + "/answers"))
for question in sys.argv[-1].split("; "):
    if question.startswith("echo "):
        print(question[5:], end="")
    elif question == "die":
        left = int(open(here + "/deaths").read())
        open(here + "/deaths", "w").write(str(left - 1))
        if left > 0:
            os.kill(os.getpid(), 9)
    elif question == "hang" or question not in answers:
        time.sleep(60 if question == "hang" else 0)
        print("error: no " + question, file=sys.stderr)
    else:
        print(answers[question])
"""


class Played:
    """A virsh that says what the test wants."""

    def __init__(self, directory: Path, answers: dict[str, str]) -> None:
        self._directory = directory
        (directory / "virsh").write_text(PLAYED.format(python=sys.executable))
        (directory / "virsh").chmod(0o755)
        self.answers = answers
        self.say()
        self.virsh = Virsh("qemu:///system", Token())

    def say(self) -> None:
        """Give the answers as they are now."""
        (self._directory / "answers").write_text(json.dumps(self.answers))

    def asked(self) -> list[str]:
        """What each process was asked so far, without the marks."""
        lines = (self._directory / "asked").read_text().splitlines()
        return [" | ".join(part for part in line.split("; ") if not part.startswith("echo ")) for line in lines]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Played]:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return lambda answers: Played(tmp_path, answers)


Play = Callable[[dict[str, str]], Played]


def soon() -> float:
    return time.monotonic() + 60


def test_answers_come_apart_and_a_failed_question_has_none(play: Play) -> None:
    answers = play({"a": "one\ntwo", "c": "three"}).virsh.ask(["a", "b", "c"], soon())
    assert [text.strip() for text in answers.texts] == ["one\ntwo", "", "three"]
    with pytest.raises(Failure, match="libvirt: no b"):
        answers.needed(1)


def test_a_libvirt_that_hangs_is_given_up(play: Play) -> None:
    began = time.monotonic()
    with pytest.raises(Failure, match="libvirt does not answer"):
        play({}).virsh.ask(["hang"], began + 0.3)
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_virsh_that_died_is_asked_once_more(deaths: int, play: Play, tmp_path: Path) -> None:
    (tmp_path / "deaths").write_text(str(deaths))
    played = play({"a": "one"})
    if deaths == 1:
        assert played.virsh.ask(["die", "a"], soon()).texts[1].strip() == "one"
    else:
        with pytest.raises(Failure, match="libvirt: virsh: killed by SIGKILL"):
            played.virsh.ask(["die", "a"], soon())
    assert played.asked() == ["die | a"] * 2


def test_no_virsh_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("drivers.hand.commands._SYSTEM", ())
    with pytest.raises(Failure, match="virsh: No such file"):
        Virsh("qemu:///system", Token()).ask(["a"], soon())


def test_who_a_domain_is_is_asked_once_a_run(play: Play) -> None:
    xml = recorded("dumpxml.xml")
    played = play({"dumpxml 1": xml, "dumpxml 2": xml.replace('id="7"', 'id="8"'),
                   "dumpxml 3": xml.replace("urn:onecore", "urn:other")})
    guests, text = Guests(played.virsh), [recorded("domstats.txt"), recorded("list.txt")]
    taken = [guests.take(Answers(text, ""), soon()) for _ in range(3)]
    assert [(vm["id"], vm["generation"]) for vm in taken[0]] == [(-1, -1), (7, 3), (8, 3)]
    assert [[vm["id"] for vm in each] for each in taken[1:]] == [[-1, 7, 8]] * 2
    assert played.asked() == ["dumpxml 3 | dumpxml 1 | dumpxml 2"]
    guests.take(Answers([text[0], text[1].replace(" 1 ", " 4 ")], ""), soon())
    assert played.asked()[1:] == ["dumpxml 4"], "another run of one-7"


def test_a_domain_that_ended_meanwhile_is_left_out_and_asked_again(play: Play) -> None:
    played = play({"dumpxml 1": recorded("dumpxml.xml")})
    guests, answers = Guests(played.virsh), Answers([recorded("domstats.txt"), recorded("list.txt")], "")
    assert [vm["deploy_id"] for vm in guests.take(answers, soon())] == ["one-7"]
    assert not guests.complete, "or was it only not told?"
    guests.take(answers, soon())
    assert played.asked()[1] == "dumpxml 3 | dumpxml 2"


def test_no_guest_is_taken_for_gone_because_libvirt_tells_no_counters(play: Play) -> None:
    xml = recorded("dumpxml.xml")
    guests = Guests(play({"dumpxml 1": xml, "dumpxml 2": xml, "dumpxml 3": xml}).virsh)
    found = guests.take(Answers(["", recorded("list.txt")], "error: internal error"), soon())
    assert {vm["deploy_id"]: vm["state"] for vm in found} == {"one-7": "running", "one-8": "suspended", WILD: "running"}
    assert guests.complete
    assert guests.take(Answers([recorded("domstats.txt"), ""], "error: Failed to list domains"), soon()) == []
    assert not guests.complete
    assert guests.take(Answers(["", ""], ""), soon()) == [] and guests.complete


def test_what_libvirt_offers_is_asked_again_after_an_upgrade(play: Play) -> None:
    arch = os.uname().machine
    capabilities = f"<capabilities><guest><arch name='{arch}'><machine>pc</machine></arch></guest></capabilities>"
    played = play({"version --daemon": recorded("version.txt"), "hostname": "node1", "capabilities": capabilities,
                   f"cpu-models {arch}": "qemu64\nhost", "list": ""})
    libvirt = Libvirt(played.virsh)
    for _ in range(2):
        assert libvirt.ask(["list"], soon()).texts[0].strip() == ""
    assert libvirt.offered == {"hostname": "node1", "arch": arch, "version": "7.2.22", "libvirt": "9.0.0",
                               "attrs": {"KVM_MACHINES": "pc", "KVM_CPU_MODELS": "qemu64 host"}}
    assert len(played.asked()) == 3
    played.answers["version --daemon"] = recorded("version.txt").replace("7.2.22", "8.0.0")
    played.say()
    libvirt.ask(["list"], soon())
    assert libvirt.offered["version"] == "8.0.0"


def test_a_survey_describes_domains_by_number_or_name(play: Play) -> None:
    played = play({"uri": "qemu:///system", "list --all": recorded("list-all.txt"),
                   "dumpxml 1": recorded("dumpxml.xml"), 'dumpxml "one-9"': "<domain/>"})
    assert [(row.name, row.run) for row, _ in described(played.virsh, soon())] == [("one-7", "1"), ("one-9", "")]
