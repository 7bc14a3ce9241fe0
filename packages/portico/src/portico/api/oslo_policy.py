"""What callers may do, by oslo.policy.

The rules are ``portico.api.policy_rules``, and those of the operator's file if there is one. Each question checks
whether the file has changed, and reads it again if so. A file takes effect as a whole or not at all: one that is wrong,
or is missing for a moment, leaves the rules as they were.

oslo.policy takes 0.1-0.3 ms for an answer, and the same few questions come again and again. An answer depends on
nothing but caller, rule and project, so it is remembered until the rules change; unless they ask somebody outside
(``http:``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from oslo_config import cfg
from oslo_policy.policy import Enforcer, InvalidDefinitionError, parse_file_contents

from portico.api.identity import Identity
from portico.api.policy import Policy
from portico.api.policy_rules import PREFIX, list_rules
from portico.errors import InvalidInput

log = structlog.get_logger()

_State = tuple[int, int, int] | None
"""By which a file is known: inode, size, time of its last change in ns; None where there is none."""
_LONGEST_PROJECT = 64
"""Characters in the id of a project, as the database has them: nothing belongs to a longer one."""
_Answer = Callable[[Identity, str, str | None], bool]
_REMEMBERED = 10_000
"""Answers of one process, at some 300 bytes each."""


class OsloPolicy(Policy):
    """Octavia's rules, and those of the operator's file.

    Args:
        file: rules that differ from the defaults, as YAML.

    Raises:
        InvalidInput: the file cannot be read, or a rule in it makes no sense.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._reading = Lock()
        self._state = _state_of(file)
        self._answer = _read(file)

    def allows(self, identity: Identity, rule: str, target_project: str | None) -> bool:
        """Whether the caller may do this (``listener:post``) in a project; None where what is done belongs to none, so
        that owning a project does not help.

        Raises:
            oslo_policy.policy.PolicyNotRegistered: there is no such rule; a mistake in the program.
        """
        if self._file is not None:
            self._look_at_file()
        if target_project is not None and len(target_project) > _LONGEST_PROJECT:
            target_project = None
        # What was answered is remembered, with who asked: his token is not part of that, and outlives no request here.
        caller = replace(identity, token=None) if identity.token is not None else identity
        return self._answer(caller, rule, target_project)

    def _look_at_file(self) -> None:
        state = _state_of(self._file)
        if state == self._state or not self._reading.acquire(blocking=False):
            return
        try:
            self._answer = _read(self._file)
            log.info("the policy was read again", file=str(self._file))
        except InvalidInput as error:
            log.warning("the policy's file is wrong; what was read before holds", reason=str(error))
        finally:
            self._state = state
            self._reading.release()


def _state_of(file: Path | None) -> _State:
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found is not None else None


def _credentials(identity: Identity) -> dict[str, Any]:
    """The caller, as rules name him. What he has not is left out: "no project" must not equal "no project"."""
    known = {
        "user_id": identity.user_id,
        "project_id": identity.project_id,
        "domain_id": identity.domain_id,
        "system_scope": identity.system_scope,
    }
    return {"roles": list(identity.roles), **{name: value for name, value in known.items() if value}}


def _read(file: Path | None) -> _Answer:
    """What answers by the rules as they are now."""
    enforcer = _build_enforcer(file)

    def answer(identity: Identity, rule: str, target_project: str | None) -> bool:
        target = {"project_id": target_project} if target_project else {}
        return bool(enforcer.authorize(PREFIX + rule, target, _credentials(identity)))

    outside = "|".join(one.name for one in entry_points(group="oslo.policy.rule_checks"))
    asks_outside = re.compile(rf"\b({outside}):")
    if any(asks_outside.search(rule.check_str) for rule in enforcer.file_rules.values()):
        return answer
    return lru_cache(_REMEMBERED)(answer)


def _build_enforcer(file: Path | None) -> Enforcer:
    """An enforcer that looks at no file any more."""
    configuration = cfg.ConfigOpts()
    configuration([], default_config_files=[], default_config_dirs=[])
    enforcer = Enforcer(configuration, policy_file=str(file.absolute()) if file is not None else None)
    configuration.set_override("policy_dirs", [], group="oslo_policy")
    defaults = list_rules()
    enforcer.register_defaults(defaults)
    if file is None:
        enforcer.set_rules({rule.name: rule.check for rule in defaults})
        return enforcer
    try:
        _check_types(file)
        enforcer.load_rules(force_reload=True)
        enforcer.check_rules(raise_on_violation=True)
    except InvalidInput:
        raise
    except (OSError, ValueError, InvalidDefinitionError, cfg.Error) as error:
        raise InvalidInput("api.policy_file", f"{file} cannot be used: {error}") from error
    for name, rule in enforcer.file_rules.items():
        _check(enforcer, name, rule.check_str)
    enforcer.use_conf = False
    return enforcer


def _check_types(file: Path) -> None:
    """Refuses what oslo.policy stumbles over."""
    rules: Any = parse_file_contents(file.read_text())
    if not isinstance(rules, dict):
        raise InvalidInput("api.policy_file", f"{file} must be a mapping of names to rules")
    for name, rule in rules.items():
        if not isinstance(name, str) or not isinstance(rule, str):
            raise InvalidInput("api.policy_file", f"in {file}, {name!r} and what it stands for must be text")


def _check(enforcer: Enforcer, name: str, text: str) -> None:
    """Refuses a rule that oslo.policy cannot make sense of, which it only logs and takes for "nobody"; points to one
    that nothing asks about."""
    if str(enforcer.rules[name]) == "!" and text.strip() != "!":
        raise InvalidInput("api.policy_file", f"rule {name!r} makes no sense: {text!r}")
    if name.startswith(PREFIX) and name not in enforcer.registered_rules:
        log.warning("the policy's file has a rule that nothing asks about", rule=name)
