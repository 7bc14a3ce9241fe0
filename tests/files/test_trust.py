"""Which files a program trusts: owners and modes of directories, of their parents, and of keys."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from portico_files import Untrusted, check_key_file, check_trusted_file, make_private_directory
from portico_files.trust import open_to_group

STRANGER = 54321
"""A user and group that do not exist on any system."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def has_own_group() -> bool:
    """Whether this user's files belong to a group with the user's name, as root's do."""
    try:
        return grp.getgrgid(os.getegid()).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o7777


def test_missing_directories_are_created_for_one_user(tmp_path: Path) -> None:
    """Whatever the umask, only the user can access the directory and its new parents."""
    before = os.umask(0)
    try:
        make_private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")] == [0o700, 0o700]


def test_a_directory_that_others_can_read_is_closed(tmp_path: Path) -> None:
    """Nobody else can have put anything into it, so it is used, and closed to others."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    make_private_directory(directory)
    assert mode_of(directory) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Even in a sticky directory others could create files. The message explains what to do, and the directory stays as
    it was."""
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(Untrusted, match=rf"{directory} can be written by others \(mode {mode:04o}\).*chmod go-w"):
        make_private_directory(directory)
    assert mode_of(directory) == mode


def test_a_directory_below_one_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """A user who can write to the parent could replace the directory. Nothing is created there; a sticky parent is
    safe."""
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(Untrusted, match=f"{above} can be written by others"):
        make_private_directory(above / "data")
    assert not list(above.iterdir())
    above.chmod(0o1777)
    make_private_directory(above / "data")


def test_an_entry_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """A directory in which others could once write is not trusted just because it was closed later."""
    planted = tmp_path / "portico.db"
    planted.touch()
    planted.chmod(0o666)
    with pytest.raises(Untrusted, match=f"{planted} can be written by others"):
        make_private_directory(tmp_path)


@needs_root
def test_a_group_with_other_members_counts_as_others(tmp_path: Path) -> None:
    """Write permission is refused to a group whose members are unknown."""
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, -1, STRANGER)
    directory.chmod(0o775)
    with pytest.raises(Untrusted, match="can be written by others"):
        make_private_directory(directory)


@pytest.mark.skipif(not has_own_group(), reason="this user has no group of their own")
def test_a_users_own_group_does_not_count_as_others(tmp_path: Path) -> None:
    """Many systems give each user a group with the user's name, and let it write to all of the user's files."""
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(0o775)
    make_private_directory(directory)
    assert mode_of(directory) == 0o700


def test_the_users_own_links_are_followed(tmp_path: Path) -> None:
    """A data directory can be its user's link to another disk; the link's target is checked as well."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk/portico")
    make_private_directory(tmp_path / "data")
    assert mode_of(tmp_path / "disk" / "portico") == 0o700
    (tmp_path / "disk" / "portico").chmod(0o777)
    with pytest.raises(Untrusted):
        make_private_directory(tmp_path / "data")


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    """A link to itself is the kernel's usual error, not an endless loop."""
    (tmp_path / "data").symlink_to("data")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        make_private_directory(tmp_path / "data")


def test_a_file_is_not_accepted_as_directory(tmp_path: Path) -> None:
    """The error is the system's."""
    (tmp_path / "data").touch(mode=0o600)
    with pytest.raises(NotADirectoryError):
        make_private_directory(tmp_path / "data")


@needs_root
@pytest.mark.parametrize("whose", ["directory", "above", "entry", "link"])
def test_files_of_another_user_are_refused(tmp_path: Path, whose: str) -> None:
    """Whether it is the directory itself, a parent, an entry or a link to it, the message names path and owner. Root is
    no exception, because root should not trust another user's files either."""
    above, link = tmp_path / "above", tmp_path / "link"
    directory = above / "data"
    directory.mkdir(parents=True)
    (directory / "ca.pem").touch(mode=0o600)
    link.symlink_to(directory)
    path = {"directory": directory, "above": above, "entry": directory / "ca.pem", "link": link}[whose]
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(Untrusted, match=rf"^{path} belongs to user {STRANGER}, but this program runs as root"):
        make_private_directory(link if whose == "link" else directory)


@needs_root
def test_a_group_can_traverse_but_not_list_a_directory(tmp_path: Path) -> None:
    """The group can reach by name what is opened to it; the other files in the directory stay closed."""
    make_private_directory(tmp_path / "agent", STRANGER)
    found = (tmp_path / "agent").stat()
    assert (found.st_gid, found.st_mode & 0o7777) == (STRANGER, 0o710)


def test_a_group_without_this_user_is_named(tmp_path: Path) -> None:
    """The message says that the user is not a member of the group."""
    if os.geteuid() == 0:
        pytest.skip("root can give files to any group")
    with pytest.raises(PermissionError, match=f"group {STRANGER}: this user is not in it"):
        open_to_group(tmp_path, STRANGER, 0o710)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o640])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A user's own key must be private. A key of root's can be meant for the user's group, which may read it."""
    key = tmp_path / "agent.key"
    key.touch()
    key.chmod(mode)
    if mode == 0o640 and os.geteuid() == 0:
        check_key_file(key)
        return
    with pytest.raises(Untrusted, match=rf"({key} can be read by others|can be written by others)"):
        check_key_file(key)
    key.chmod(0o600)
    check_key_file(key)


def test_others_may_read_but_not_write_a_certificate(tmp_path: Path) -> None:
    """A certificate is not secret, but a user who can replace the authority's can command agents."""
    certificate = tmp_path / "ca.pem"
    certificate.touch()
    certificate.chmod(0o644)
    check_trusted_file(certificate)
    certificate.chmod(0o666)
    with pytest.raises(Untrusted):
        check_trusted_file(certificate)
