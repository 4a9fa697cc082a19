"""The pinned jars of the Java servers: downloaded once into the user's cache, verified by SHA-256 at every start."""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.stack.errors import StackError

LOCK = Path(__file__).with_name("jars.lock")
_REPORT_EVERY = 5
_PARALLEL_DOWNLOADS = 6


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    server: str
    coordinate: str
    """`group:artifact:version` or `group:artifact:version:classifier`."""
    sha256: str
    licence: str
    """An SPDX expression."""

    @property
    def parts(self) -> tuple[str, str, str, str]:
        group, artifact, version, *classifier = self.coordinate.split(":")
        return group, artifact, version, classifier[0] if classifier else ""

    @property
    def file(self) -> str:
        """The path of the file in the cache."""
        group, artifact, version, classifier = self.parts
        suffix = f"-{classifier}" if classifier else ""
        return f"{group}/{artifact}-{version}{suffix}.jar"


def pinned(server: str) -> list[Jar]:
    """Return the jars of one server, in the order of the lock file."""
    return [jar for jar in _locked() if jar.server == server]


def all_pinned() -> list[Jar]:
    """Return the jars of all servers, each once, in the order of their coordinates."""
    found = {jar.coordinate: jar for jar in _locked()}
    return [found[coordinate] for coordinate in sorted(found)]


def _locked() -> list[Jar]:
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return [Jar(*line.split(maxsplit=3)) for line in lines if line and line[0] != "#"]


def cache_folder() -> Path:
    """Return the folder of downloaded jars: `GATEWAY_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("GATEWAY_CACHE"):
        return Path(chosen)
    usual = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "grid-event-gateway"


async def class_path(title: str, jars: Sequence[Jar], progress: Callable[[str], None]) -> str:
    """Return the Java class path of these jars; downloads what is missing and verifies all of them.

    Raises:
        StackError: a download failed, or a file does not have the pinned SHA-256.
    """
    folder = cache_folder() / "jars"
    missing = [jar for jar in jars if not (folder / jar.file).exists()]
    if missing:
        await _download_all(title, jars, missing, folder, progress)
    await asyncio.to_thread(_verify_all, jars, folder)
    return os.pathsep.join(str(folder / jar.file) for jar in jars)


async def _download_all(
    title: str, jars: Sequence[Jar], missing: Sequence[Jar], folder: Path, progress: Callable[[str], None]
) -> None:
    slots = asyncio.Semaphore(_PARALLEL_DOWNLOADS)
    present = len(jars) - len(missing)

    async def download(jar: Jar) -> None:
        nonlocal present
        async with slots:
            await asyncio.to_thread(_download, jar, folder)
        present += 1
        if present % _REPORT_EVERY == 0 or present == len(jars):
            progress(f"{title} jars {present}/{len(jars)} …")

    try:
        async with asyncio.TaskGroup() as tasks:
            for jar in missing:
                tasks.create_task(download(jar))
    except* StackError as failures:
        failure = failures.exceptions[0]
    else:
        return
    raise failure


def _download(jar: Jar, folder: Path) -> None:
    """Download a jar to a temporary folder, verify it, then move it into the cache."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - takes half a second to import and is needed only for a download

    group, artifact, version, classifier = jar.parts
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The cache folder {folder} cannot be used ({error}): set GATEWAY_CACHE to another folder."
        ) from error
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
        context = MavenContext(repo_cache=Path(temporary), timeout=30)
        try:
            downloaded = context.project(group, artifact).at_version(version).artifact(classifier=classifier).resolve()
        except (OSError, RuntimeError) as error:  # jgo raises these without a network and for an unknown jar
            raise StackError(
                f"{jar.coordinate} is not in the cache {folder} and could not be downloaded "
                f"({type(error).__name__}): connect to the internet for the first start, then try again."
            ) from error
        if (found := _sha256(downloaded)) != jar.sha256:
            raise StackError(
                f"The download of {jar.coordinate} has the SHA-256 {found}, but {LOCK.name} pins {jar.sha256}: "
                "check your network's proxy or mirror, then try again."
            )
        place = folder / jar.file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(downloaded, place)


def _verify_all(jars: Sequence[Jar], folder: Path) -> None:
    for jar in jars:
        place = folder / jar.file
        if _sha256(place) != jar.sha256:
            place.unlink()
            raise StackError(
                f"{place} did not match {LOCK.name} and was removed: run the command again to download it."
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
