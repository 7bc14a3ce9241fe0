"""Whom a program trusts with its files: owners and modes of directories, of what leads to them, and of keys."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from portico_files import Untrusted, check_key_file, check_trusted_file, make_private_directory
from portico_files.trust import open_to_group

STRANGER = 54321
"""A user and group that no system has."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def has_own_group() -> bool:
    """Whether what this user makes is of a group that is called like him, as root's is."""
    try:
        return grp.getgrgid(os.getegid()).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o7777


def test_it_makes_what_is_missing_for_one_user_alone(tmp_path: Path) -> None:
    """Whatever the umask, the directory and those on the way to it are nobody else's to look into."""
    before = os.umask(0)
    try:
        make_private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")] == [0o700, 0o700]


def test_a_directory_that_others_can_read_is_closed(tmp_path: Path) -> None:
    """Nobody can have put anything into it: it is used, and closed."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    make_private_directory(directory)
    assert mode_of(directory) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Be it sticky: others could add to it. The message says what to do, and the directory stays as it was."""
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(Untrusted, match=rf"{directory} can be written by others \(mode {mode:04o}\).*chmod go-w"):
        make_private_directory(directory)
    assert mode_of(directory) == mode


def test_a_directory_below_one_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Who can write there could put another one in its place. Nothing is made there; a sticky one is no danger."""
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(Untrusted, match=f"{above} can be written by others"):
        make_private_directory(above / "data")
    assert not list(above.iterdir())
    above.chmod(0o1777)
    make_private_directory(above / "data")


def test_what_is_in_it_and_could_be_written_by_others_is_refused(tmp_path: Path) -> None:
    """A directory in which others once wrote is not trusted because it has been closed since."""
    planted = tmp_path / "portico.db"
    planted.touch()
    planted.chmod(0o666)
    with pytest.raises(Untrusted, match=f"{planted} can be written by others"):
        make_private_directory(tmp_path)


@needs_root
def test_a_group_that_others_are_in_is_others(tmp_path: Path) -> None:
    """Write permission for a group of which nothing is known is refused."""
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, -1, STRANGER)
    directory.chmod(0o775)
    with pytest.raises(Untrusted, match="can be written by others"):
        make_private_directory(directory)


@pytest.mark.skipif(not has_own_group(), reason="this user has no group of his own")
def test_a_user_s_own_group_is_nobody_else(tmp_path: Path) -> None:
    """Many systems give each user a group of his name, and let it write to all that he makes."""
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(0o775)
    make_private_directory(directory)
    assert mode_of(directory) == 0o700


def test_one_s_own_links_are_followed(tmp_path: Path) -> None:
    """A data directory may be a link of its user's to another disk; what it leads to is checked as well."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk/portico")
    make_private_directory(tmp_path / "data")
    assert mode_of(tmp_path / "disk" / "portico") == 0o700
    (tmp_path / "disk" / "portico").chmod(0o777)
    with pytest.raises(Untrusted):
        make_private_directory(tmp_path / "data")


def test_a_link_to_itself_is_an_error_and_no_end(tmp_path: Path) -> None:
    """As the kernel has it."""
    (tmp_path / "data").symlink_to("data")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        make_private_directory(tmp_path / "data")


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """The error is the system's."""
    (tmp_path / "data").touch(mode=0o600)
    with pytest.raises(NotADirectoryError):
        make_private_directory(tmp_path / "data")


@needs_root
@pytest.mark.parametrize("whose", ["directory", "above", "entry", "link"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, whose: str) -> None:
    """The directory itself, one above it, something in it, a link to it: the message names path and owner. Root is no
    exception: what another user put there is not root's to trust."""
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
def test_a_group_may_go_through_and_not_look_around(tmp_path: Path) -> None:
    """What is opened to a group, it can reach by name; the files in it stay closed."""
    make_private_directory(tmp_path / "agent", STRANGER)
    found = (tmp_path / "agent").stat()
    assert (found.st_gid, found.st_mode & 0o7777) == (STRANGER, 0o710)


def test_a_group_that_one_is_not_in_is_named(tmp_path: Path) -> None:
    """The user has to be made a member of it, which the message says."""
    if os.geteuid() == 0:
        pytest.skip("root can give files to any group")
    with pytest.raises(PermissionError, match=f"group {STRANGER}: this user is not in it"):
        open_to_group(tmp_path, STRANGER, 0o710)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o640])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """One's own key is one's own alone; of root's, which may be meant for one's group, the group may read it."""
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


def test_a_certificate_may_be_read_and_not_written_by_others(tmp_path: Path) -> None:
    """It is no secret, but whoever can exchange the authority's commands agents."""
    certificate = tmp_path / "ca.pem"
    certificate.touch()
    certificate.chmod(0o644)
    check_trusted_file(certificate)
    certificate.chmod(0o666)
    with pytest.raises(Untrusted):
        check_trusted_file(certificate)
