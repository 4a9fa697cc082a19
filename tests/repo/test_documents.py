"""The documents do not go stale: commands are run or say why not, options and targets exist, links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import app
from tests.support.documents import blocks, documents
from tests.support.paths import ROOT

DOCUMENTS = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in documents()]
COMMAND = get_command(app)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

_INLINE = re.compile(r"`(?:uv run )?gateway ([^`]+)`")
_MAKE = re.compile(r"\bmake ([a-z]+)\b")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:api|bridge|streams|schemas|runtime|gateway|migrations|tests|deploy)/[\w./-]*)(?:::\w+)?`")
_ENDS = {"|", ">", "<", "&&", "||", ";", "&", "2>&1"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_shell_block_is_run_by_a_test_or_says_why_not(document: Path) -> None:
    for block in blocks(document):
        if block.is_shell:
            where = f"{document.name}:{block.line}"
            assert block.not_run or block.run_by, f"{where}: neither `run by:` nor `not run:` stands before this block"
            if block.run_by:
                assert document.name in (ROOT / block.run_by).read_text(), f"{where}: {block.run_by} does not read it"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_shown_command_parses(document: Path) -> None:
    for block in blocks(document):
        if block.is_shell:
            for words in _typed(block.text):
                _parse(words, f"{document.name}:{block.line}")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_command_exists(document: Path) -> None:
    text = document.read_text()
    for named in _INLINE.findall(text):
        command, rest = _found(named.partition(" …")[0].split())
        known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
        for word in rest:
            if word.startswith("--"):
                assert re.split(r"[=\],]", word)[0] in known | {"--help"}, f"{document.name}: gateway {named}"
        if getattr(command, "commands", None) and rest:
            assert not rest[0].isalpha(), f"{document.name}: gateway {named}: there is no {rest[0]}"
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *(block.text for block in blocks(document) if block.is_shell)])
    assert set(_MAKE.findall(code)) <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_resolves(document: Path) -> None:
    for link in _LINK.findall(document.read_text()):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), f"{document.name}: {link}"
            assert not anchor or anchor in _anchors(target), f"{document.name}: {link}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_path_exists(document: Path) -> None:
    for path in _PATH.findall(document.read_text()):
        assert (ROOT / path).exists(), f"{document.name}: {path}"


@pytest.mark.parametrize(
    "document", [pytest.param(path, id=path.name) for path in documents() if path.parent.parent == ROOT / "docs"]
)
def test_pages_outside_reference_have_at_most_1500_words(document: Path) -> None:
    assert document.parent.name == "reference" or len(document.read_text().split()) <= 1500


def test_the_code_map_lists_every_folder() -> None:
    listed = set(re.findall(r"`([a-z_/]+)/`", (ROOT / "docs" / "explanation" / "code-map.md").read_text()))
    packages = {"api", "bridge", "gateway", "migrations", "runtime", "schemas", "streams"}
    folders = {path.parent.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("__init__.py")}
    assert {str(folder) for folder in folders} - {"migrations/versions"} <= listed


def test_the_checks_detect_errors() -> None:
    with pytest.raises(AssertionError, match="No such option"):
        _parse(["demo", "--venns", "3"], "here")
    with pytest.raises(AssertionError, match="there is no dmo"):
        _parse(["dmo"], "here")
    assert list(_typed("A=1 uv run gateway demo --vens 3  # three\ncurl x | gateway topics > y")) == [
        ["demo", "--vens", "3"],
        ["topics"],
    ]


def _typed(text: str) -> Iterator[list[str]]:
    """The words behind each `gateway` of a shell block."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a quotation over several lines: none of ours
        for at, word in enumerate(words):
            before = words[at - 1] if at else ""
            if word == "gateway" and (not at or before == "run" or before in _ENDS or "=" in before):
                end = next((i for i in range(at, len(words)) if words[i] in _ENDS), len(words))
                yield words[at + 1 : end]


def _parse(words: list[str], where: str) -> None:
    """Parse as the command does, and run nothing."""
    command, rest = _found(words)
    wrong = f"{where}: gateway {shlex.join(words)}"
    if getattr(command, "commands", None):
        assert not rest or rest[0].startswith("-"), f"{wrong}: there is no {rest[0]}"
    elif "--help" not in rest:
        try:
            command.make_context("gateway", rest)
        except Exception as error:  # noqa: BLE001 - click's own, wherever this version of typer has them from
            raise AssertionError(f"{wrong}: {getattr(error, 'message', error)}") from None


def _found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that is meant, and the words after its name."""
    command: Any = COMMAND
    for at, word in enumerate(words):
        below = getattr(command, "commands", {})
        if word not in below:
            return command, words[at:]
        command = below[word]
    return command, []


def _anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}
