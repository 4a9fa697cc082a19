"""docs/reference/supply-chain.md: a hash and a licence for every part, and a complete bill of materials."""

import json
import tomllib

import pytest

from gateway.stack.jars import all_pinned
from schemas.base.errors import GatewayError
from tests.support.paths import ROOT
from tools import licences
from tools.licences import EXPLAINED, document, jar_groups, locked_names, packages
from tools.sbom import bill


def test_every_locked_package_has_hashes_and_comes_from_the_index() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    for package in locked:
        if package["source"] != {"editable": "."}:
            assert "registry" in package["source"], package["name"]
            files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
            assert files, package["name"]
            assert all(file["hash"].startswith("sha256:") for file in files), package["name"]


def test_the_licence_page_is_current_and_complete() -> None:
    page = document()
    assert (ROOT / "docs" / "reference" / "licences.md").read_text() == page, "run `make docs`"
    for name in locked_names("--all-extras"):
        assert f"\n| {name} | " in page
    for jar in all_pinned():
        assert jar.coordinate.partition(":")[2] in page


def test_every_licence_note_belongs_to_a_component() -> None:
    assert locked_names("--all-extras") | {jar.parts[0] for jar in all_pinned()} >= EXPLAINED.keys()


def test_an_unknown_package_licence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "EXPLAINED", {})
    with pytest.raises(GatewayError, match=r"(?s)MPL 2\.0.*add the licence to PERMISSIVE"):
        packages(["certifi", "rich"])


def test_an_unknown_jar_licence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "EXPLAINED", {})
    with pytest.raises(GatewayError, match="add the group to EXPLAINED"):
        jar_groups()


def test_the_bill_of_materials_lists_all_components_with_hashes() -> None:
    """As `make sbom` of supply-chain.md prints it."""
    parts = json.loads(json.dumps(bill()))
    assert (parts["bomFormat"], parts["specVersion"]) == ("CycloneDX", "1.5")
    listed = {component["purl"].split("@")[0] for component in parts["components"]}
    assert listed >= {f"pkg:pypi/{name}" for name in locked_names("--all-extras")}
    assert len({component["bom-ref"] for component in parts["components"]}) == len(parts["components"])
    jars = [each for each in parts["components"] if each["purl"].startswith("pkg:maven/")]
    assert {each["hashes"][0]["content"] for each in jars} == {jar.sha256 for jar in all_pinned()}
    assert all(each["licenses"][0]["expression"] for each in jars)
