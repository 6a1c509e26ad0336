"""What a host's template holds for drivers alone: bodies show `*`, and `*` in an update leaves it as it is."""
from __future__ import annotations

from onecore.kinds.kind import inner_xml, tree_of
from onecore.wire.template import Tree

SECRET, HIDDEN = "IPMI_PASSWORD", "*"


def shown(template: bytes) -> bytes:
    """The fragment TEMPLATE as everybody may see it."""
    if SECRET.encode() not in template:
        return template
    return inner_xml(Tree((name, HIDDEN if name == SECRET else value) for name, value in tree_of(template)))


def keep(old: Tree, new: Tree) -> None:
    """Give NEW what OLD has where NEW says `*`: somebody changed what a body showed."""
    if new.get(SECRET) == HIDDEN and SECRET in old:
        new.set(SECRET, old.get(SECRET))
