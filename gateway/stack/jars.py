"""Java servers as pinned jars: fetched once into the user's cache, compared with their SHA-256 at every start."""

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
_TOLD_EVERY = 5
_AT_ONCE = 6


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    server: str
    coordinate: str
    """`group:artifact:version` or `group:artifact:version:classifier`."""
    sha256: str

    @property
    def parts(self) -> tuple[str, str, str, str]:
        group, artifact, version, *classifier = self.coordinate.split(":")
        return group, artifact, version, classifier[0] if classifier else ""

    @property
    def file(self) -> str:
        """Its place in the cache."""
        group, artifact, version, classifier = self.parts
        suffix = f"-{classifier}" if classifier else ""
        return f"{group}/{artifact}-{version}{suffix}.jar"


def pinned(server: str, lock: Path = LOCK) -> list[Jar]:
    """The jars of one server, in the order of the lock file."""
    lines = (line.split() for line in lock.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    return [jar for jar in (Jar(*fields) for fields in lines) if jar.server == server]


def cache_folder() -> Path:
    """Where fetched jars are kept: `GATEWAY_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("GATEWAY_CACHE"):
        return Path(chosen)
    usual = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "grid-event-gateway"


async def class_path(title: str, jars: Sequence[Jar], progress: Callable[[str], None]) -> str:
    """The Java class path of these jars, every one present and just as pinned."""
    folder = cache_folder() / "jars"
    missing = [jar for jar in jars if not (folder / jar.file).exists()]
    if missing:
        await _fetch_all(title, jars, missing, folder, progress)
    await asyncio.to_thread(_compare_all, jars, folder)
    return os.pathsep.join(str(folder / jar.file) for jar in jars)


async def _fetch_all(
    title: str, jars: Sequence[Jar], missing: Sequence[Jar], folder: Path, progress: Callable[[str], None]
) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)
    present = len(jars) - len(missing)

    async def one(jar: Jar) -> None:
        nonlocal present
        async with gate:
            await asyncio.to_thread(_fetch, jar, folder)
        present += 1
        if present % _TOLD_EVERY == 0 or present == len(jars):
            progress(f"{title} jars {present}/{len(jars)} …")

    try:
        async with asyncio.TaskGroup() as tasks:
            for jar in missing:
                tasks.create_task(one(jar))
    except* StackError as failures:
        failure = failures.exceptions[0]
    else:
        return
    raise failure


def _fetch(jar: Jar, folder: Path) -> None:
    """Fetch one jar beside its place, compare, then move: what bears its name in the cache was once right."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - half a second to import, needed only the first time

    group, artifact, version, classifier = jar.parts
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"{folder} cannot be used ({error}): set GATEWAY_CACHE to another folder.") from error
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as beside:
        context = MavenContext(repo_cache=Path(beside), timeout=30)
        try:
            fetched = context.project(group, artifact).at_version(version).artifact(classifier=classifier).resolve()
        except (OSError, RuntimeError) as error:  # what jgo raises without a network and for an unknown jar
            raise StackError(
                f"{jar.coordinate} is not in the cache {folder} and could not be downloaded "
                f"({type(error).__name__}): connect to the internet for the first start, then try again."
            ) from error
        if (found := _sha256(fetched)) != jar.sha256:
            raise StackError(
                f"The download of {jar.coordinate} was refused, its SHA-256 is {found} where {LOCK.name} pins "
                f"{jar.sha256}: check your network's proxy or mirror, then try again."
            )
        place = folder / jar.file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(fetched, place)


def _compare_all(jars: Sequence[Jar], folder: Path) -> None:
    for jar in jars:
        place = folder / jar.file
        if _sha256(place) != jar.sha256:
            place.unlink()
            raise StackError(
                f"{place} was not what {LOCK.name} pins and has been removed: start again to download it anew."
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
