"""The rule. What this process is to trust belongs to its user or to root, and nobody else can have changed it.

Whoever may write to a directory can exchange what is in it, so that the same is asked of every directory on the way
from the root, and of every symbolic link on it. Two things are no danger: a sticky directory (``/tmp``), where others
cannot touch what is ours, and a group that has no other member, such as many systems give to each user.

Access lists and what LDAP knows of groups are not looked at.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

PRIVATE = 0o700
PASSABLE = 0o710
"""Of a directory that a group may go through, if it knows where to; it cannot look around there."""

_MOST_LINKS = 40  # as many as the kernel follows


class Untrusted(PermissionError):
    """Somebody else may have had a hand in it. The message names the path, and says what to do."""


def make_private_directory(path: Path, group: int | None = None) -> None:
    """Make a directory that is this user's own, with what is missing on the way; or take one that is there, if nobody
    else can have put anything into it. Others that could read it cannot any more.

    Args:
        path: of the directory; symbolic links on it must be this user's or root's.
        group: may go through the directory, without seeing what is in it. None: nobody may.

    Raises:
        Untrusted: the directory, something on the way to it or something directly in it belongs to neither this user
            nor root, or can be written by others. The directory itself must not be root's either.
        OSError: it cannot be made, or is no directory.
    """
    _check_way(path, make=True)
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if found.st_uid != os.geteuid():
        raise _belongs_to_another(path, found)
    if _can_others_write(found):  # be it sticky: they could add to it
        raise _can_be_written(path, found)
    for entry in path.iterdir():
        try:
            _check(entry, entry.lstat())
        except FileNotFoundError:
            continue  # it went meanwhile
    if group is None:
        path.chmod(PRIVATE)
    else:
        open_to_group(path, group, PASSABLE)


def open_to_group(path: Path, group: int, mode: int) -> None:
    """Give a file or directory of this user's to a group, with this mode. Raises PermissionError, OSError."""
    if path.stat().st_gid != group:
        try:
            os.chown(path, -1, group)
        except PermissionError as error:
            raise PermissionError(f"{path} cannot be opened to group {group}: this user is not in it") from error
    path.chmod(mode)


def check_trusted_file(path: Path) -> None:
    """Make sure that nobody but this user and root can have changed a file. Raises Untrusted, OSError."""
    _check_way(path, make=False)


def check_key_file(path: Path) -> None:
    """The same of a private key, which, besides, nobody else may read: one of this user's has mode 0600 at most, one of
    root's, who may give it to this user's group, 0640. (PostgreSQL's clients have this rule.)

    Raises:
        Untrusted, OSError.
    """
    check_trusted_file(path)
    found = path.stat()
    allowed = 0o640 if found.st_uid == 0 else 0o600
    if stat.S_IMODE(found.st_mode) & ~allowed & 0o077:
        raise Untrusted(f"the key {path} can be read by others ({_mode(found)}): chmod {allowed:o} {path}")


def _check_way(path: Path, *, make: bool) -> None:
    """Check what is at the path and all that leads there. ``make``: directories that are missing are made."""
    place, links = Path(), 0
    ahead = list(reversed(path.absolute().parts))
    while ahead:
        step = place / ahead.pop()
        try:
            found = step.lstat()
        except FileNotFoundError:
            if not make:
                raise
            step.mkdir(mode=PRIVATE, exist_ok=True)  # another process may be making it, too
            found = step.lstat()
        _check(step, found)
        if not stat.S_ISLNK(found.st_mode):
            place = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        ahead.extend(reversed(step.readlink().parts))


def _check(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise _belongs_to_another(path, found)
    is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if not stat.S_ISLNK(found.st_mode) and not is_sticky and _can_others_write(found):
        raise _can_be_written(path, found)


def _can_others_write(found: os.stat_result) -> bool:
    return bool(found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_only_ours(found.st_gid)))


def _is_only_ours(gid: int) -> bool:
    """Whether the group is root's, or is called like this user, and has no other member."""
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    user = _user(os.geteuid())
    return (gid == 0 or group.gr_name == user) and set(group.gr_mem) <= {user, "root"}


def _belongs_to_another(path: Path, found: os.stat_result) -> Untrusted:
    owner, user = _user(found.st_uid), _user(os.geteuid())
    return Untrusted(
        f"{path} belongs to {owner}, and this runs as {user}, who cannot trust what is there: choose another place, or "
        f"run as {owner}"
    )


def _can_be_written(path: Path, found: os.stat_result) -> Untrusted:
    return Untrusted(
        f"{path} can be written by others ({_mode(found)}), who may have changed what is there: choose another place, "
        f"or look through it and chmod go-w {path}"
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"
