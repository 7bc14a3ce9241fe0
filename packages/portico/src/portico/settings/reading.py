"""Reads settings from the environment and from a file, and explains the values that are wrong."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from portico.errors import InvalidSettings, SettingFault

PREFIX = "PORTICO_"
_ENVIRONMENT = "the environment"
_DRIVER = "driver"
"""The setting that selects one of a port's groups where each driver has a group of its own."""

Groups = Mapping[str, tuple[type[BaseModel], ...]]
"""The groups of settings by name; a name has several groups where each driver has a group of its own."""
Values = dict[str, Any]
"""Groups by name, each with its values by name, as they were written."""


def find_groups(settings: type[BaseModel]) -> Groups:
    """Return the groups of all settings, including those that are not set by default (``Group | None``). A single group
    contains no groups, so the result for it is empty."""
    found = {}
    for name, field in settings.model_fields.items():
        options = typing.get_args(field.annotation) or (field.annotation,)
        models = tuple(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
        if models:
            found[name] = models
    return found


def read_environment(groups: Groups, environment: Mapping[str, str]) -> tuple[Values, list[SettingFault]]:
    """Return the values of the ``PORTICO_GROUP__NAME`` variables (lists are written in JSON), and the faults: one for
    each list that is not JSON, and one for each variable that begins with ``PORTICO_`` but names no setting."""
    known = {_variable(group, name): (group, name) for group in groups for name in _fields(groups, group)}
    values: Values = {}
    faults = []
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in known:
            name = variable.removeprefix(PREFIX).lower().partition("__")[2]
            moved = [_variable(group, name) for group in groups if name in _fields(groups, group)]
            meant = moved[0] if len(moved) == 1 else _nearest(variable, known)
            faults.append(SettingFault(_ENVIRONMENT, variable, _unknown(meant)))
            continue
        group, name = known[variable]
        is_list = typing.get_origin(_fields(groups, group)[name].annotation) is tuple
        try:
            values.setdefault(group, {})[name] = json.loads(text) if is_list else text
        except ValueError:
            faults.append(SettingFault(_ENVIRONMENT, variable, 'must be a list in JSON, like ["one", "two"]'))
    return values, faults


def read_toml(path: Path) -> tuple[Values, str]:
    """Return the values in a file, and its text.

    Raises:
        InvalidSettings: the file cannot be read, or is not TOML.
    """
    try:
        text = path.read_text()
        return tomllib.loads(text), text
    except OSError as error:
        raise InvalidSettings([SettingFault(str(path), "", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise InvalidSettings([SettingFault(str(path), "", f"is not TOML: {error}")]) from error


def merge(below: Values, above: Values) -> Values:
    """Merge both, value by value. Where both set a value, ``above`` wins."""
    merged = dict(below)
    for group, values in above.items():
        under = merged.get(group, {})
        merged[group] = {**under, **values} if isinstance(under, dict) and isinstance(values, dict) else values
    return merged


def explain(
    error: ValidationError, groups: Groups, environment: Values | None = None, file: tuple[Path, str] | None = None
) -> list[SettingFault]:
    """Return the faults that pydantic found, each with the place where the value was set. They never contain the
    values, because some are passwords.

    Args:
        error: pydantic's error.
        groups: all groups of settings.
        environment: the values that came from the environment.
        file: the file that was read, and its text.
    """
    faults = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        path = _without_driver(tuple(map(str, each["loc"])), groups)
        rule = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            rule = _of_other_drivers(path, groups) or _unknown(_find_nearest(path, groups))
        elif each["type"] == "union_tag_invalid":
            path = (*path, _DRIVER)
            rule = f"must be one of {', '.join(_driver_of(model) for model in groups[path[0]])}"
        elif each["type"] == "missing":
            rule = "is needed"
        if len(path) > 1 and path[1] in (environment or {}).get(path[0], {}):
            faults.append(SettingFault(_ENVIRONMENT, _variable(*path[:2]), rule))
        else:
            line = _find_line(file[1], path) if file else None
            place = "" if file is None else f"{file[0]}, line {line}" if line else str(file[0])
            faults.append(SettingFault(place, ".".join(path), rule))
    return faults


def _fields(groups: Groups, group: str) -> dict[str, FieldInfo]:
    """The settings of a group, over all its drivers."""
    return {name: field for model in groups[group] for name, field in model.model_fields.items()}


def _driver_of(model: type[BaseModel]) -> str:
    return str(model.model_fields[_DRIVER].default)


def _without_driver(path: tuple[str, ...], groups: Groups) -> tuple[str, ...]:
    """Drop the driver's name from a path: pydantic puts it second where it has selected a group by its driver."""
    is_chosen = len(path) > 1 and len(groups.get(path[0], ())) > 1
    return (path[0], *path[2:]) if is_chosen else path


def _of_other_drivers(path: tuple[str, ...], groups: Groups) -> str:
    """The message about a setting that only other drivers of this group have; empty if no driver has it."""
    models = groups.get(path[0], ()) if len(path) > 1 else ()
    drivers = [_driver_of(model) for model in models if path[1] in model.model_fields]
    return f"is a setting of {path[0]}.{_DRIVER} {' and '.join(drivers)}" if drivers else ""


def _variable(group: str, name: str) -> str:
    return f"{PREFIX}{group}__{name}".upper()


def _unknown(meant: str) -> str:
    return "there is no such setting" + (f"; did you mean {meant}?" if meant else "")


def _find_nearest(path: tuple[str, ...], groups: Groups) -> str:
    """The setting or group that was probably meant; empty if no name is close."""
    known = [f"{group}.{name}" for group in groups for name in _fields(groups, group)]
    elsewhere = [setting for setting in known if setting.partition(".")[2] == path[-1]]
    if path[-1] not in groups and len(elsewhere) == 1:
        return elsewhere[0]  # the right name, but in the wrong group or outside any group
    return _nearest(".".join(path), known if len(path) > 1 else groups)


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(known), 1)), "")


def _find_line(text: str, path: tuple[str, ...]) -> int | None:
    """The line on which a value is set, or the heading of its group if it is not set. None if neither is found (in
    inline tables, for example)."""
    group, heading = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            group = found[1]
            heading = number if (group,) == path[:1] else heading
        elif found := re.match(r"\s*([\w.-]+)\s*=", line):
            written = (*group.split("."), *found[1].split(".")) if group else tuple(found[1].split("."))
            if written == path[: len(written)]:
                return number
    return heading
