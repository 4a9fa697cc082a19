"""`gateway certs`: what it makes, for whose eyes, and what it leaves alone."""

from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from gateway.certs.authority import Authority
from gateway.certs.folder import BRIDGE, Certificates
from gateway.cli import app
from schemas.base.errors import GatewayError


def certs(*arguments: str) -> str:
    outcome = CliRunner().invoke(app, ["certs", *arguments])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.output


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_make_creates_private_files_and_overwrites_none(tmp_path: Path) -> None:
    certs("make", "--host", "mqtt.example.org")
    certs("ven", "ven-1")
    before = content(tmp_path)
    assert {Path(name).relative_to(tmp_path).as_posix() for name in before} == {
        ".env",
        *(f"certs/ca/ca.{end}" for end in ("pem", "key")),
        *(f"certs/mosquitto/{name}" for name in ("ca.pem", "server.pem", "server.key")),
        *(f"certs/{who}/{name}" for who in ("bridge", "vens/ven-1") for name in ("ca.pem", "client.pem", "client.key")),
    }
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "certs").rglob("*")} == {0}
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    for again in (("make",), ("ven", "ven-1")):
        with pytest.raises(GatewayError, match="there already"):
            certs(*again)
    assert content(tmp_path) == before


def test_missing_certificates_are_signed_by_the_same_ca(tmp_path: Path) -> None:
    certs("make")
    (tmp_path / "certs" / "bridge").rename(tmp_path / "old")
    assert certs("make") == "made certs/bridge\n"
    new, old = ((folder / "client.pem").read_bytes() for folder in (tmp_path / "certs" / "bridge", tmp_path / "old"))
    assert new != old
    ca = x509.load_pem_x509_certificate((tmp_path / "certs" / "ca" / "ca.pem").read_bytes())
    x509.load_pem_x509_certificate(new).verify_directly_issued_by(ca)


def test_missing_ca_is_not_replaced(tmp_path: Path) -> None:
    certs("make")
    (tmp_path / "certs" / "ca").rename(tmp_path / "ca")
    with pytest.raises(GatewayError, match="put the CA back"):
        certs("make")


def test_existing_env_is_kept_and_gaps_are_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PASSWORD=mine\nGATEWAY_UID=1000\nGATEWAY_GID=1000\nGRAFANA_DB_PASSWORD=\n")
    with pytest.raises(GatewayError, match="lacks GRAFANA_ADMIN_PASSWORD, GRAFANA_DB_PASSWORD"):
        certs("make")


def test_certificates_contain_the_names(tmp_path: Path) -> None:
    certs("make", "--host", "mqtt.example.org", "--host", "192.0.2.7", "--days", "10")
    server = x509.load_pem_x509_certificate((tmp_path / "certs/mosquitto/server.pem").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"mosquitto", "localhost", "mqtt.example.org"} <= set(names.get_values_for_type(x509.DNSName))
    assert "192.0.2.7" in map(str, names.get_values_for_type(x509.IPAddress))
    assert (server.not_valid_after_utc - server.not_valid_before_utc).days == 10
    client = x509.load_pem_x509_certificate((tmp_path / "certs/bridge/client.pem").read_bytes())
    assert client.subject.rfc4514_string() == f"CN={BRIDGE}"


@pytest.mark.parametrize("ven_id", ["a/b", "a+", "#", "", "..", BRIDGE, "x" * 65])
def test_impossible_identity_is_refused(ven_id: str, tmp_path: Path) -> None:
    made = Certificates(tmp_path / "certs")
    made.make(["localhost"], days=1)
    with pytest.raises(GatewayError):
        made.ven(ven_id, days=1)
    assert not (tmp_path / "certs" / "vens").exists()


def test_ven_id_above_64_bytes_is_refused(tmp_path: Path) -> None:
    made = Certificates(tmp_path / "certs")
    made.make([], days=1)
    assert made.ven("é" * 32, days=1).exists()
    with pytest.raises(GatewayError, match="64 bytes"):
        made.ven("é" * 33, days=1)


@pytest.mark.parametrize("host", ["bücher.example", "two words", "", "https://mqtt.example.org", "a..b"])
def test_impossible_host_is_refused_before_any_file(host: str, tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="no name of a server"):
        certs("make", "--host", host)
    assert list(tmp_path.iterdir()) == []


def test_new_host_for_existing_certificate_is_refused(tmp_path: Path) -> None:
    certs("make", "--host", "mqtt.example.org")
    (tmp_path / "certs" / "bridge").rename(tmp_path / "old")
    with pytest.raises(GatewayError, match=r"does not name new\.example\.org; move the folder away"):
        certs("make", "--host", "mqtt.example.org", "--host", "new.example.org")
    assert "made certs/bridge\n" in certs("make", "--host", "mqtt.example.org")


def test_certificate_ends_no_later_than_the_ca() -> None:
    ca = Authority.create("A CA", days=10)
    for pair in (ca.client("ven-1", days=730), ca.server(["localhost"], days=730)):
        assert x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc == ca.ends


def test_expired_ca_signs_nothing(tmp_path: Path) -> None:
    certs("make")
    old = Authority.create("A CA", days=0).pair
    (tmp_path / "certs/ca/ca.pem").write_bytes(old.certificate)
    (tmp_path / "certs/ca/ca.key").write_bytes(old.key)
    with pytest.raises(GatewayError, match=r"the CA in certs/ca expired at 20"):
        certs("ven", "ven-1")
    assert not (tmp_path / "certs" / "vens").exists()


def test_ven_certificate_needs_a_ca() -> None:
    with pytest.raises(GatewayError, match="run gateway certs make first"):
        certs("ven", "ven-1")
