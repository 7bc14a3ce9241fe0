"""The rule of trust: a trusted file belongs to this process's user or to root, and no other user can have changed it.

A user who can write to a directory can replace what is in it. So the same rule applies to every directory on the path
from the root, and to every symbolic link on it. Two cases are safe: a sticky directory (``/tmp``), where other users
cannot touch our entries, and a group without other members, which many systems create for each user.

Access control lists, and group members that only LDAP knows, are not checked.
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
"""Mode of a directory that a group can pass through but not list."""

_MOST_LINKS = 40  # the kernel's own limit


class Untrusted(PermissionError):
    """Another user may have changed the file. The message names the path and tells what to do."""


def make_private_directory(path: Path, group: int | None = None) -> None:
    """Create a private directory of this user, with its missing parents; or accept an existing one, if no other user
    can have put anything into it. Other users who could read it no longer can.

    Args:
        path: of the directory; symbolic links on it must belong to this user or to root.
        group: can pass through the directory but not list it. None: no group can.

    Raises:
        Untrusted: the directory, something on the path to it or something directly in it belongs to neither this user
            nor root, or can be written by others. The directory itself must not belong to root either.
        OSError: the directory cannot be created, or the path is not a directory.
    """
    _check_way(path, make=True)
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if found.st_uid != os.geteuid():
        raise _belongs_to_another(path, found)
    if _can_others_write(found):  # even if it is sticky, because others could add entries
        raise _can_be_written(path, found)
    for entry in path.iterdir():
        try:
            _check(entry, entry.lstat())
        except FileNotFoundError:
            continue  # it was removed in the meantime
    if group is None:
        path.chmod(PRIVATE)
    else:
        open_to_group(path, group, PASSABLE)


def open_to_group(path: Path, group: int, mode: int) -> None:
    """Change the group and the mode of a file or directory of this user. Raises PermissionError, OSError."""
    if path.stat().st_gid != group:
        try:
            os.chown(path, -1, group)
        except PermissionError as error:
            raise PermissionError(f"{path} cannot be opened to group {group}: this user is not in it") from error
    path.chmod(mode)


def check_trusted_file(path: Path) -> None:
    """Make sure that only this user and root can have changed a file. Raises Untrusted, OSError."""
    _check_way(path, make=False)


def check_key_file(path: Path) -> None:
    """Make sure of the same for a private key, and that no other user can read it. A key of this user has mode 0600 at
    most. A key of root has 0640 at most, so that root can give it to this user's group. (PostgreSQL's clients have the
    same rule.)

    Raises:
        Untrusted, OSError.
    """
    check_trusted_file(path)
    found = path.stat()
    allowed = 0o640 if found.st_uid == 0 else 0o600
    if stat.S_IMODE(found.st_mode) & ~allowed & 0o077:
        raise Untrusted(f"the key {path} can be read by others ({_mode(found)}): chmod {allowed:o} {path}")


def _check_way(path: Path, *, make: bool) -> None:
    """Check the file at the path and everything on the way there. ``make``: create missing directories."""
    place, links = Path(), 0
    ahead = list(reversed(path.absolute().parts))
    while ahead:
        step = place / ahead.pop()
        try:
            found = step.lstat()
        except FileNotFoundError:
            if not make:
                raise
            step.mkdir(mode=PRIVATE, exist_ok=True)  # another process may be creating it at the same time
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
    """Whether the group is root's or has this user's name, and has no members but this user and root."""
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    user = _user(os.geteuid())
    return (gid == 0 or group.gr_name == user) and set(group.gr_mem) <= {user, "root"}


def _belongs_to_another(path: Path, found: os.stat_result) -> Untrusted:
    owner, user = _user(found.st_uid), _user(os.geteuid())
    return Untrusted(
        f"{path} belongs to {owner}, but this program runs as {user} and cannot trust it: choose another path, or run "
        f"as {owner}"
    )


def _can_be_written(path: Path, found: os.stat_result) -> Untrusted:
    return Untrusted(
        f"{path} can be written by others ({_mode(found)}), who may have changed it: choose another path, or inspect "
        f"it and chmod go-w {path}"
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"
