"""What inputs are made of: words that the code knows, values that hurt, templates that are nearly right."""
from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from random import Random

from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,30}\Z")
NASTY = (
    "", " ", "0", "-0", "-1", "1", "2", "100", "-2147483649", "4294967296", "9" * 19, "9" * 25, "9" * 5000, "1.5",
    "1e999", "nan", "-inf", "1_000", "0x10", " 7 ", "²", "٣", "YES", "no", "true", "\u0130", "\ufeff", "é" * 70, "😀",
    "a\u202eb", "]]>", "<a>", "&amp;", "&", "'", '"', "\\", '\\"', "$", "$X[", "$NETWORK[DNS,NETWORK_ID=0]",
    "$FILE[IMAGE_ID=0]", "$USER[", "%s%n", "{}", "{0.__class__}", "../../etc/passwd", "/", "/dev/null", "a,b", ",",
    ",,0,", "0,1,x", "a:b", "a\tb", "a\rb", "a\nb", "10.0.0.1", "10.0.0.256", "255.255.255.255", "0.0.0.0",
    "10.0.0.0/8", "::", "fe80::1%eth0", "2001:db8::/129", "02:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0:0:0:0:0:0",
    "+3600", "+", "now", "1-5", "5-1", "0-" * 9, "*", "#0", "@0", "%0", "[", "]", "()", "((((", "!" * 40, "x" * 129,
    "x" * 5000, "ID=0 & ID=0", '"A" @> 1')
"""Values that something somewhere may not expect."""
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="".join(
    chr(c) for c in range(32) if c not in (9, 10, 13)) + "\ufffe\uffff")
text = st.text(CHARACTERS, max_size=30)
"""Anything that XML can carry."""
_ALPHABETS = ("abcXYZ019_", " \t\n\r", "=[],\"#\\&<>'$%;:|/*+-!?(){}", "éÄß²٣İ😀\u202e\u2028\ufeff\x7f\x85")


@cache
def vocabulary() -> tuple[str, ...]:
    """Every attribute name that the code mentions."""
    found = set()
    for path in sorted((ROOT / "onecore").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _WORD.match(node.value):
                found.add(node.value)
    return tuple(sorted(found))


def _bases() -> dict[str, str]:
    parts = re.split(r"^\[(\w+)\]\n", (Path(__file__).parent / "templates.txt").read_text(), flags=re.M)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


BASES = _bases()
"""Templates that are right, by what they are about: each input is one with something changed."""


def _pieces(base: str) -> list[tuple[str, str]]:
    """(NAME, value) of a base; a vector is its text between the brackets."""
    return [(name, value) for name, _, value in (line.partition("=") for line in base.splitlines())]


def value(rng: Random) -> str:
    """A value: a nasty one, a number, or anything."""
    odds = rng.random()
    if odds < 0.6:
        return rng.choice(NASTY)
    if odds < 0.8:
        return str(rng.randint(-3, 300))
    return "".join(rng.choice(rng.choice(_ALPHABETS)) for _ in range(rng.randint(0, 30)))


def _name(rng: Random) -> str:
    return rng.choice(("a", "A-B", "1A", "É", "", "A B")) if rng.random() < 0.1 else rng.choice(vocabulary())


ABOUT = (
    (r"one\.vm\.attach$", "disk"), (r"one\.vm\.(attach|update)nic", "nic"), (r"one\.vm\.resize", "size"),
    (r"one\.vm\.updateconf", "conf"), (r"sched(add|update)", "action"), (r"one\.(vm\.allocate|template\.)", "vm"),
    (r"one\.image\.", "image"), (r"one\.vn\.(add|update)_ar", "ar"), (r"one\.vn\.(hold|release)", "lease"),
    (r"one\.vn\.reserve", "reserve"), (r"one\.vn\.", "net"), (r"one\.datastore", "store"), (r"quota", "quota"),
    (r"one\.vmgroup\.role", "role"), (r"one\.vmgroup", "group"), (r"one\.secgroup", "rules"), (r"one\.hook", "hook"),
    (r"one\.zone", "zone"), (r"one\.(host|cluster)", "host"), ("", "user"))
"""Which base the templates of a method have, the first that fits."""


def about(method: str) -> str:
    """The base of a method's templates."""
    return next(base for pattern, base in ABOUT if re.search(pattern, method))


def template(rng: Random, base: str = "") -> str:
    """A template, nearly right, as text or as XML; of any BASE when none is given."""
    pieces = _pieces(BASES[base or rng.choice(sorted(BASES))])
    if len(pieces) > 3 and rng.random() < 0.5:
        pieces = pieces[:2] + rng.sample(pieces[2:], rng.randint(0, min(7, len(pieces) - 2)))
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
        pieces = _changed(rng, pieces)
    if rng.random() < 0.25:
        return _as_xml(pieces)
    return "\n".join(f"{name}={value}" for name, value in pieces)


def _changed(rng: Random, pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One attribute of it otherwise: another value, another name, gone, twice, or a part of a vector changed."""
    at = rng.randrange(max(1, len(pieces)))
    name, old = pieces[at] if pieces else ("A", "1")
    new = value(rng)
    quoted = '"' + new.replace('"', '\\"') + '"' if rng.random() < 0.7 else new
    inner = old[1:-1].split(",") if old.startswith("[") else []
    if inner:
        k = rng.randrange(len(inner))
        inner[k] = f"{inner[k].partition('=')[0] if rng.random() < 0.9 else _name(rng)}={quoted}"
    choices = {"value": [(name, quoted)], "name": [(_name(rng), old)], "gone": [],
               "twice": [(name, old), (name, quoted)], "vector": [(name, f"[{_name(rng)}={quoted}]")],
               "more": [(name, old), (_name(rng), quoted)],
               "part": [(name, f"[{','.join(inner)}]" if inner else quoted)]}
    return [*pieces[:at], *choices[rng.choice((*choices, "part", "part", "part"))], *pieces[at + 1:]]


def _as_xml(pieces: list[tuple[str, str]]) -> str:
    out = ""
    for name, given in pieces:
        if given.startswith("[") and given.endswith("]"):
            parts = [part.partition("=") for part in given[1:-1].split(",")]
            given = "".join(f"<{k}>{_cdata(v)}</{k}>" for k, _, v in parts if k)
        else:
            given = _cdata(given)
        out += f"<{name}>{given}</{name}>" if name else given
    return f"<TEMPLATE>{out}</TEMPLATE>"


def _cdata(words: str) -> str:
    return "<![CDATA[" + words.strip('"').replace("]]>", "]]]]><![CDATA[>") + "]]>"
