"""What the documents show: their blocks, each with the marks that stand before it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

_BLOCK = re.compile(r"(?P<before>[^\n]*)\n(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)\n(?P=indent)```", re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_RUN_BY = re.compile(r"<!-- run by: (\S+) -->")
_ALL_RUN_BY = re.compile(r"<!-- shell blocks run by: (\S+) -->")


class Block(NamedTuple):
    """One block of a document: `run_by` is the file of the test that runs it, `not_run` why none does."""

    document: Path
    line: int
    language: str
    text: str
    run_by: str | None
    not_run: str | None

    @property
    def is_shell(self) -> bool:
        return self.language in {"sh", "bash", "shell", "console"}


def documents() -> list[Path]:
    """All documents for people; records of what was decided and what changed are none."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text()
    everything = _ALL_RUN_BY.search(text)
    for found in _BLOCK.finditer(text):
        not_run, run_by = _NOT_RUN.search(found["before"]), _RUN_BY.search(found["before"]) or everything
        yield Block(
            document=document,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            text=found["text"],
            run_by=run_by[1] if run_by and not not_run else None,
            not_run=not_run[1] if not_run else None,
        )
