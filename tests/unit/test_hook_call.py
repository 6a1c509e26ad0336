"""What an API hook is told of a call's texts: no secrets, and in one pass however long they are."""
from __future__ import annotations

import pytest

from onecore.kinds.hook.call import masked


@pytest.mark.parametrize(("text", "told"), [
    ("PASSWORD=x", "PASSWORD=***"), ('A=PASSWORD=x\nB = 2', "A=PASSWORD=***\nB = 2"),
    ('CONTEXT=[my_Token_2 = "a b\\"c", NAME=n]', "CONTEXT=[my_Token_2 = ***, NAME=n]"), ("TOKENS", "TOKENS"),
    ("<PassWord>a<B>b</B></PASSWORD><A>1</A>", "<PassWord>***</PASSWORD><A>1</A>"),
    ("<PASSWD>a<PASSWD>b</PASSWD>c</PASSWD>", "<PASSWD>***</PASSWD>c</PASSWD>"),
    ("<TOKEN><SECRET>a</SECRET>", "<TOKEN><SECRET>***</SECRET>"),
    ("</SECRET><SECRET>a</SECRET><MY_SECRET></MY_SECRET>", "</SECRET><SECRET>***</SECRET><MY_SECRET>***</MY_SECRET>"),
    ("KEY=a\nMONKEY=b\n<KEY>c</KEY>", "KEY=***\nMONKEY=b\n<KEY>***</KEY>")])
def test_secrets(text: str, told: str) -> None:
    """By what names look like, and those that are hidden besides."""
    assert masked(text, frozenset(("KEY",))) == told


@pytest.mark.parametrize("text", ["PASSWORD" * 100_000, "<PASSWORD>" * 100_000, "PASSWORD " * 100_000,
                                  "".join(f"<TOKEN{n}>" for n in range(50_000)), 'TOKEN="\\' * 100_000],
                         ids=["one word", "tags", "words", "names", "quotes"])
def test_long_texts(text: str) -> None:
    """Each place is looked at once: twice the text is twice the work, not four times."""
    assert masked(text, frozenset(("KEY",))).startswith(text[:5])
