"""OpenNebula's template language: text or XML to a tree and back.

The grammar is OpenNebula's (its template_parser.l and template_syntax.y, as facts): NAME = value, NAME = [K = v, ...],
`#` lines are comments, `\\"` is the only escape, names are upper-cased, a repeated NAME adds an instance, the first of
a repeated key in a vector wins, `]]>` is refused.  What a template *means* is not known here.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lxml import etree

Vector = dict[str, str]
Value = str | Vector
Pairs = list[tuple[str, Value]]

MAX_ATTRIBUTES = 10_000
_BAD_CHAR = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.A)
_TOKEN = re.compile(
    r"(?P<nl>\n)|(?P<blank>[ \t\r]+)|(?P<quoted>\"(?:[^\"\\]++|\\.)*+\")|(?P<openquote>\")"
    r"|(?P<punct>[=,\[\]])|(?P<hash>#)|(?P<word>[^\s=#,\[\]\"]+)", re.S)


class TemplateError(ValueError):
    """The text is not a template; the message names line and columns."""


def check_text(text: str, field: str = "text") -> str:
    """Return TEXT if XML 1.0 can carry it; else raise TemplateError that names FIELD and the character."""
    bad = _BAD_CHAR.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        raise TemplateError(f"{field} holds a character that XML cannot carry (U+{ord(bad.group()):04X}) "
                            f"at line {line}, column {column}")
    return text


class Tree:
    """An ordered multi-map of attributes: each a string or a vector (a dict of strings).  Names are upper case."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, Value]] = ()) -> None:
        self.pairs: Pairs = [(name.upper(), value) for name, value in pairs]

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __contains__(self, name: str) -> bool:
        return any(n == name for n, _ in self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.pairs == other.pairs

    def __repr__(self) -> str:
        return f"Tree({self.pairs!r})"

    def get(self, name: str, default: str = "") -> str:
        """The first plain value of NAME."""
        return next((v for n, v in self.pairs if n == name and isinstance(v, str)), default)

    def vector(self, name: str) -> Vector | None:
        """The first vector of NAME, or None."""
        return next((v for n, v in self.pairs if n == name and isinstance(v, dict)), None)

    def vectors(self, name: str) -> list[Vector]:
        """All vectors of NAME, in order."""
        return [v for n, v in self.pairs if n == name and isinstance(v, dict)]

    def all(self, name: str) -> list[Value]:
        """All values of NAME, in order."""
        return [v for n, v in self.pairs if n == name]

    def set(self, name: str, value: Value) -> None:
        """Replace every instance of NAME by one VALUE, where the first stood or at the end."""
        for i, (n, _) in enumerate(self.pairs):
            if n == name:
                self.pairs[i:] = [(name, value)] + [p for p in self.pairs[i + 1:] if p[0] != name]
                return
        self.pairs.append((name, value))

    def add(self, name: str, value: Value) -> None:
        """Add one more instance of NAME."""
        self.pairs.append((name, value))

    def remove(self, *names: str) -> None:
        """Drop every instance of NAMES."""
        self.pairs = [p for p in self.pairs if p[0] not in names]

    def names(self) -> list[str]:
        """The names, each once, in order."""
        return list(dict.fromkeys(n for n, _ in self.pairs))

    def only(self, names: Iterable[str]) -> Tree:
        """A new tree of just NAMES."""
        wanted = set(names)
        return Tree(p for p in self.pairs if p[0] in wanted)

    def without(self, names: Iterable[str]) -> Tree:
        """A new tree of all but NAMES."""
        unwanted = set(names)
        return Tree(p for p in self.pairs if p[0] not in unwanted)

    def copy(self) -> Tree:
        """A new tree; vectors are copied too."""
        return Tree((n, dict(v) if isinstance(v, dict) else v) for n, v in self.pairs)

    def merged(self, other: Tree) -> Tree:
        """This tree with every name that OTHER holds replaced by OTHER's instances (append=1 of the update calls)."""
        names = set(other.names())
        return Tree([p for p in self.pairs if p[0] not in names] + list(other.pairs))


def parse(text: str, field: str = "template") -> Tree:
    """TEXT (ATTR=VALUE form, or XML if it begins with `<`) as a tree; raises TemplateError."""
    check_text(text, field)
    return _parse_xml(text) if text.lstrip().startswith("<") else _parse_text(text)


def parse_own(text: str) -> Tree:
    """As `parse`, of XML that `to_xml` made: what is stored is read, whatever a user may hand in today."""
    return tree_of(_root(text, huge=True))


def _parse_xml(text: str) -> Tree:
    root = _root(text)
    _check_xml(root)
    return tree_of(root)


def _root(text: str, huge: bool = False) -> etree._Element:
    """The outermost element; HUGE: values of more than 10 MB too."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
                             remove_pis=True, strip_cdata=True, encoding="utf-8", huge_tree=huge)
    try:
        root = etree.fromstring(text.strip().encode(), parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise TemplateError(f"Parse error: {error.msg} at line {line}, column {column}") from None
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]  # the stubs do not know it
        raise TemplateError("Parse error: a document type is not allowed at line 1, column 1")
    return root


def _check_xml(root: etree._Element) -> None:
    """What the text form cannot say, the XML form may not hold: other names, vectors in vectors."""
    if len(root) > MAX_ATTRIBUTES:
        raise TemplateError(f"Parse error: more than {MAX_ATTRIBUTES} attributes at line "
                            f"{root[MAX_ATTRIBUTES].sourceline}, column 1")
    for child in root:
        for element in child.iter():
            if not _NAME.match(str(element.tag)):
                raise TemplateError(f"Parse error: {element.tag!s:.80} is not an attribute name (letters, digits and _)"
                                    f" at line {element.sourceline}, column 1")
            if len(element) and element is not child:
                raise TemplateError(f"Parse error: {element.tag} in {child.tag} holds elements, vectors cannot be "
                                    f"nested, at line {element.sourceline}, column 1")


def tree_of(root: etree._Element) -> Tree:
    """The children of an XML element as a tree: leaves, or one level of vectors."""
    tree = Tree()
    for child in root:
        if not isinstance(child.tag, str):
            continue
        if len(child):
            vector: Vector = {}
            for leaf in child:
                if isinstance(leaf.tag, str):
                    vector.setdefault(leaf.tag.upper(), leaf.text or "")
            tree.add(child.tag.upper(), vector)
        else:
            tree.add(child.tag.upper(), child.text or "")
    return tree


class _Text:
    """A cursor over the tokens of one text; knows where it is for the error message."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.start = 0
        self.kind = self.value = ""

    def next(self, skip_newlines: bool = True) -> str:
        """Read the next token into kind and value; `#` that begins a line is a comment."""
        while True:
            self.start = self.at
            found = _TOKEN.match(self.text, self.at)
            if found is None:
                self.kind, self.value = "end", ""
                if self.at < len(self.text):
                    self.fail("unexpected character")
                return self.kind
            kind = str(found.lastgroup)
            if kind == "hash":
                begin = self.text.rfind("\n", 0, self.at) + 1
                if self.text[begin:self.at].strip():
                    self.fail("syntax error, unexpected # (a comment stands on a line of its own)")
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
                continue
            if kind == "openquote":
                self.fail("syntax error, a string that begins here has no closing quote")
            self.at = found.end()
            if kind == "blank" or (kind == "nl" and skip_newlines):
                continue
            self.kind, self.value = kind, found.group()
            if kind == "quoted":
                self.value = self.value[1:-1].replace('\\"', '"')
                self.check_value()
            elif kind == "punct":
                self.kind = self.value
            return self.kind

    def check_value(self) -> None:
        if "]]>" in self.value:
            self.fail("a value may not hold ]]>")

    def fail(self, what: str) -> None:
        line = self.text.count("\n", 0, self.start) + 1
        first = self.start - self.text.rfind("\n", 0, self.start)
        last = max(first, first + self.at - self.start - 1)
        raise TemplateError(f"Parse error: {what} at line {line}, columns {first}:{last}")

    def unexpected(self, expecting: str) -> None:
        shown = {"end": "end of text", "nl": "end of line"}.get(self.kind, self.value[:40] or self.kind)
        self.fail(f"syntax error, unexpected {shown}, expecting {expecting}")

    def name(self) -> str:
        if self.kind != "word" or not _NAME.match(self.value):
            self.unexpected("an attribute name")
        return self.value.upper()


def _parse_text(text: str) -> Tree:
    cursor, tree = _Text(text), Tree()
    while cursor.next() != "end":
        name = cursor.name()
        if len(tree) == MAX_ATTRIBUTES:
            cursor.fail(f"more than {MAX_ATTRIBUTES} attributes")
        if cursor.next(skip_newlines=False) != "=":
            cursor.unexpected("=")
        kind = cursor.next(skip_newlines=False)
        if kind == "[":
            tree.add(name, _parse_vector(cursor))
        elif kind in ("quoted", "word"):
            tree.add(name, cursor.value)
        elif kind in ("nl", "end"):
            tree.add(name, "")
        else:
            cursor.unexpected("a value")
    return tree


def _parse_vector(cursor: _Text) -> Vector:
    vector: Vector = {}
    cursor.next()
    while cursor.kind != "]":
        key = cursor.name()
        if cursor.next() != "=":
            cursor.unexpected("=")
        kind = cursor.next()
        if kind in ("quoted", "word"):
            vector.setdefault(key, cursor.value)
            cursor.next()
        elif kind in (",", "]"):
            vector.setdefault(key, "")
        else:
            cursor.unexpected("a value")
        if cursor.kind == ",":
            cursor.next()
        elif cursor.kind != "]":
            cursor.unexpected(", or ]")
    return vector


def to_text(tree: Tree) -> str:
    """The tree in ATTR=VALUE form, as the command line shows and edits it.

    That form cannot say a backslash before a quote or the end, nor `]]>`: a tree that holds one is given as XML.
    """
    if not all(_sayable(v) for _, value in tree for v in (value.values() if isinstance(value, dict) else (value,))):
        return to_xml(tree)
    lines = []
    for name, value in tree:
        if isinstance(value, dict):
            inner = ",\n".join(f"  {k}={_quote(v)}" for k, v in value.items())
            lines.append(f"{name}=[\n{inner} ]" if inner else f"{name}=[ ]")
        else:
            lines.append(f"{name}={_quote(value)}")
    return "\n".join(lines) + ("\n" if lines else "")


def _sayable(value: str) -> bool:
    if "\\" not in value:
        return "]]>" not in value
    quoted = _quote(value)
    found = _TOKEN.match(quoted)
    return "]]>" not in value and found is not None and found.lastgroup == "quoted" and found.group() == quoted


def _quote(value: str) -> str:
    return '"' + value.replace('"', '\\"') + '"'


def cdata(value: str) -> str:
    """VALUE as a CDATA section; a `]]>` inside is split, a carriage return (readers drop it there) stands outside."""
    return "<![CDATA[" + value.replace("]]>", "]]]]><![CDATA[>").replace("\r", "]]>&#13;<![CDATA[") + "]]>"


def to_xml(tree: Tree, root: str = "TEMPLATE") -> str:
    """The tree as an XML element ROOT, values as CDATA."""
    parts = [f"<{root}>"]
    for name, value in tree:
        if isinstance(value, dict):
            inner = "".join(f"<{k}>{cdata(v)}</{k}>" for k, v in value.items())
            parts.append(f"<{name}>{inner}</{name}>")
        else:
            parts.append(f"<{name}>{cdata(value)}</{name}>")
    parts.append(f"</{root}>")
    return "".join(parts)
