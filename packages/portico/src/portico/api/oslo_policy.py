"""The policy with oslo.policy: it decides what callers may do.

The rules are those in ``portico.api.policy_rules``, and those in the operator's file if there is one. Each check first
looks at whether the file has changed, and reads it again if so. A file takes effect as a whole or not at all: if it is
wrong, or missing for a moment, the rules stay as they were.

oslo.policy needs 0.1-0.3 ms for a check, and the same few checks are repeated all the time. The result depends only on
caller, rule and project, so it is cached until the rules change, unless a rule asks an external service (``http:``).
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
"""The version of a file: inode, size, and time of its last change in ns; None if there is no file."""
_LONGEST_PROJECT = 64
"""Most characters in the id of a project, as in the database: nothing belongs to a project with a longer id."""
_Answer = Callable[[Identity, str, str | None], bool]
_REMEMBERED = 10_000
"""Results that one process caches, at some 300 bytes each."""


class OsloPolicy(Policy):
    """Octavia's default rules, overridden by those in the operator's file.

    Args:
        file: the rules that differ from the defaults, as YAML.

    Raises:
        InvalidInput: the file cannot be read, or a rule in it cannot be parsed.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._reading = Lock()
        self._state = _state_of(file)
        self._answer = _read(file)

    def allows(self, identity: Identity, rule: str, target_project: str | None) -> bool:
        """Whether the caller may do this (``listener:post``) in the target project. The target is None for an action
        that belongs to no project: then owning a project does not help.

        Raises:
            oslo_policy.policy.PolicyNotRegistered: there is no such rule: a bug in the program.
        """
        if self._file is not None:
            self._reload_if_changed()
        if target_project is not None and len(target_project) > _LONGEST_PROJECT:
            target_project = None
        # The caller is part of the key of the cached result. The token is left out, so that it is not kept here after
        # its request.
        caller = replace(identity, token=None) if identity.token is not None else identity
        return self._answer(caller, rule, target_project)

    def _reload_if_changed(self) -> None:
        state = _state_of(self._file)
        if state == self._state or not self._reading.acquire(blocking=False):
            return
        try:
            self._answer = _read(self._file)
            log.info("the policy file was read again", file=str(self._file))
        except InvalidInput as error:
            log.warning("the policy file is wrong; the rules stay as they were", reason=str(error))
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
    """The caller's credentials, as rules name them. Values that the caller does not have are left out, so that a caller
    without a project does not match an object without a project."""
    known = {
        "user_id": identity.user_id,
        "project_id": identity.project_id,
        "domain_id": identity.domain_id,
        "system_scope": identity.system_scope,
    }
    return {"roles": list(identity.roles), **{name: value for name, value in known.items() if value}}


def _read(file: Path | None) -> _Answer:
    """Read the rules and return the function that checks them."""
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
    """Build an enforcer that has read its file and will not read it again."""
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
    """Refuse a file with values of the wrong type, which oslo.policy does not handle."""
    rules: Any = parse_file_contents(file.read_text())
    if not isinstance(rules, dict):
        raise InvalidInput("api.policy_file", f"{file} must be a mapping of names to rules")
    for name, rule in rules.items():
        if not isinstance(name, str) or not isinstance(rule, str):
            raise InvalidInput("api.policy_file", f"in {file}, the name {name!r} and its rule must be text")


def _check(enforcer: Enforcer, name: str, text: str) -> None:
    """Refuse a rule that oslo.policy cannot parse: it would only log that and treat the rule as "nobody". Log a warning
    for a rule that the API never checks."""
    if str(enforcer.rules[name]) == "!" and text.strip() != "!":
        raise InvalidInput("api.policy_file", f"rule {name!r} cannot be parsed: {text!r}")
    if name.startswith(PREFIX) and name not in enforcer.registered_rules:
        log.warning("the policy file has a rule that the API never checks", rule=name)
