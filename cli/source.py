"""Where template text comes from: a file, standard input, or the user's editor."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from cli.errors import CliError, one_line

LARGEST = 64 * 1024 * 1024
"""Bytes of a template file; the server has its own, lower limit."""


def given(path: str | None) -> str | None:
    """The text of PATH (`-`: standard input); without a path what is piped in; None when there is neither."""
    if path == "-" or (path is None and piped()):
        return sys.stdin.read() or None
    return None if path is None else read(path)


def read(path: str) -> str:
    """The text of the file PATH; raises CliError."""
    try:
        file = Path(path).expanduser()
        if file.stat().st_size > LARGEST:
            raise CliError(f"{path}: too large for a template")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CliError(f"{path}: not text in UTF-8 (byte {error.start})") from None


def either(path: str | None, file: str | None) -> str | None:
    """The argument FILE or what --file says; raises CliError for both."""
    if path is not None and file is not None:
        raise CliError("give FILE or --file, not both")
    return path if file is None else file


def piped() -> bool:
    """Whether standard input is a file or a pipe, not a terminal or /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def required(path: str | None) -> str:
    """As given, and a CliError when there is nothing."""
    text = given(path)
    if text is None or not text.strip():
        raise CliError("no template: give a file, or pipe one in")
    return text


def checked(text: str) -> str:
    """TEXT, if it is a template; raises CliError that names line and columns."""
    from onecore.wire.template import TemplateError, parse

    try:
        parse(text)
    except TemplateError as error:
        raise CliError(one_line(error)) from None
    return text


def vector(text: str, name: str) -> str:
    """TEXT, which is one vector NAME or its bare attributes, as one vector NAME; raises CliError."""
    from onecore.wire.template import Tree, parse, to_text

    tree = parse(checked(text))
    found = tree.vectors(name)
    if len(found) > 1:
        raise CliError(f"the template must hold one {name}, not {len(found)}")
    attributes = found[0] if found else {key: value for key, value in tree if isinstance(value, str)}
    if not attributes:
        raise CliError(f"the template must hold one {name}=[...], or its attributes")
    return to_text(Tree([(name, attributes)]))


def submit(file: str | None, before: Callable[[], str], name: str, send: Callable[[str], object]) -> bool:
    """SEND the template of FILE, of standard input, or else of BEFORE as changed in $EDITOR (NAME: of its file).

    False when nothing was changed there.  After an error the edited text is kept, and the error says where.
    """
    text = given(file)
    if text is not None:
        send(checked(text))
        return True
    draft = Draft(before(), name)
    after = draft.edit()
    if after is not None:
        try:
            send(checked(after))
        except CliError as error:
            raise CliError(f"{error}; {draft.where()}", error.code) from None
    draft.drop()
    return after is not None


class Draft:
    """Text in a private temporary file while the user edits it."""

    def __init__(self, text: str, name: str) -> None:
        from tempfile import mkstemp

        descriptor, path = mkstemp(prefix=f"{name}-", suffix=".txt")  # mode 0600
        self.path, self.before = Path(path), text
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def edit(self) -> str | None:
        """Open the editor; the new text, or None when nothing changed.  Raises CliError when the editor fails."""
        import shlex
        import subprocess

        editor = os.environ.get("EDITOR") or os.environ.get("VISUAL") or "vi"
        try:
            code = subprocess.call([*shlex.split(editor), str(self.path)])
        except (OSError, ValueError) as error:
            self.drop()
            raise CliError(f"cannot start the editor {editor}: {error}; set EDITOR") from None
        if code:
            raise CliError(f"the editor {editor} ended with {code}; {self.where()}")
        text = read(str(self.path))
        return None if text == self.before else text

    def drop(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def where(self) -> str:
        """Says where the text is kept."""
        return f"your text is in {self.path}"
