"""What the page is made of: vendored as its README says, and nothing that its policy would refuse."""

import re
from hashlib import sha256
from pathlib import Path

from api.page import FOLDER

ROW = re.compile(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", re.MULTILINE)
OURS = [
    *FOLDER.glob("*.html"),
    *FOLDER.glob("css/*.css"),
    *FOLDER.glob("js/**/*.js"),
]


def test_what_is_vendored_is_what_was_published() -> None:
    rows = ROW.findall((FOLDER / "vendor" / "README.md").read_text())
    assert {name for name, _ in rows} == {path.name for path in (FOLDER / "vendor").glob("*.[jc]s*")}
    for name, digest in rows:
        assert sha256((FOLDER / "vendor" / name).read_bytes()).hexdigest() == digest


def test_nothing_makes_markup_of_text_or_comes_from_elsewhere() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://|\sstyle=|\son\w+=\""
    )
    allowed = 'xmlns="http://www.w3.org/2000/svg"'
    for path in OURS:
        found = forbidden.findall(path.read_text().replace(allowed, ""))
        assert found == [], path


def test_files_are_of_one_idea_each() -> None:
    long = {path.name: lines for path in OURS if (lines := len(path.read_text().splitlines())) > 250}
    assert long == {}
    assert all(path.read_text().startswith(("//", "/*", "<!doctype")) for path in OURS if isinstance(path, Path))
