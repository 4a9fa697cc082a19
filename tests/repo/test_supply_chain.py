"""docs/reference/supply-chain.md: a hash and a licence for every part, and a complete bill of materials."""

import json
import tomllib

import pytest

from gateway.supply import licences
from gateway.supply.licences import EXPLAINED, JARS, PACKAGES, document, is_permissive, licence_of
from gateway.supply.parts import Package, jars, packages
from gateway.supply.sbom import bill
from schemas.base.errors import GatewayError
from tests.support.paths import ROOT


def test_every_package_of_the_lock_file_comes_with_hashes_and_from_the_index() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    for package in locked:
        if package["source"] != {"editable": "."}:
            assert "registry" in package["source"], package["name"]
            files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
            assert files, package["name"]
            assert all(file["hash"].startswith("sha256:") for file in files), package["name"]


def test_the_list_of_licences_is_not_stale() -> None:
    assert (ROOT / "docs" / "reference" / "licences.md").read_text() == document(), "run `make docs`"


def test_a_licence_that_is_not_permissive_is_explained() -> None:
    found = {package.name: licence_of(package) for package in packages()} | {
        jar.parts[0]: JARS[jar.parts[0]] for jar in jars()
    }
    assert {name for name, licence in found.items() if not is_permissive(licence)} <= EXPLAINED.keys()
    # What is said here of parts that are gone goes with them.
    assert {*EXPLAINED, *PACKAGES, *JARS} <= found.keys()


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("EPL-2.0 OR BSD-3-Clause", True),
        ("MIT AND (GPL-3.0-only OR ISC)", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("EPL-2.0 OR GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)
def test_an_expression_is_permissive_when_every_part_leaves_a_choice_that_is(expression: str, permissive: bool) -> None:  # noqa: FBT001
    assert is_permissive(expression) is permissive


def test_a_part_of_an_unknown_licence_stops_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GatewayError, match="look it up"):
        licence_of(Package("nobody-knows-this-package", "1.0", stack=False))
    monkeypatch.setattr(licences, "JARS", {})
    with pytest.raises(GatewayError, match="look it up"):
        document()


def test_the_bill_of_materials_names_every_part_with_hashes() -> None:
    """As `make sbom` of supply-chain.md prints it."""
    document = json.loads(json.dumps(bill()))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    listed = {component["purl"] for component in document["components"]}
    assert listed >= {f"pkg:pypi/{package.name}@{package.version}" for package in packages()}
    assert len({component["bom-ref"] for component in document["components"]}) == len(document["components"])
    hashes = {each["hashes"][0]["content"] for each in document["components"] if each["purl"].startswith("pkg:maven/")}
    assert hashes == {jar.sha256 for jar in jars()}
