"""Where values are read from, and what is said of those that are wrong."""

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

from portico.errors import InvalidSettings, SettingFault

PREFIX = "PORTICO_"
_ENVIRONMENT = "the environment"

Groups = Mapping[str, type[BaseModel]]
"""The groups of settings by name."""
Values = dict[str, Any]
"""Groups by name, each with its values by name, as they were written."""


def find_groups(settings: type[BaseModel]) -> Groups:
    """The groups of all settings; also those that are not there by default (``Group | None``). A group has none."""
    found = {}
    for name, field in settings.model_fields.items():
        for option in typing.get_args(field.annotation) or (field.annotation,):
            if isinstance(option, type) and issubclass(option, BaseModel):
                found[name] = option
    return found


def read_environment(groups: Groups, environment: Mapping[str, str]) -> tuple[Values, list[SettingFault]]:
    """What ``PORTICO_GROUP__NAME`` variables say; values that are lists are written in JSON. And a fault for each
    variable that begins with ``PORTICO_`` and names no setting."""
    known = {_variable(group, name): (group, name) for group in groups for name in groups[group].model_fields}
    values: Values = {}
    faults = []
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in known:
            faults.append(SettingFault(_ENVIRONMENT, variable, _unknown(_nearest(variable, known))))
            continue
        group, name = known[variable]
        is_list = typing.get_origin(groups[group].model_fields[name].annotation) is tuple
        try:
            values.setdefault(group, {})[name] = json.loads(text) if is_list else text
        except ValueError:
            faults.append(SettingFault(_ENVIRONMENT, variable, 'must be a list in JSON, like ["one", "two"]'))
    return values, faults


def read_toml(path: Path) -> tuple[Values, str]:
    """What a file says, and its text.

    Raises:
        InvalidSettings: it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text()
        return tomllib.loads(text), text
    except OSError as error:
        raise InvalidSettings([SettingFault(str(path), "", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise InvalidSettings([SettingFault(str(path), "", f"is not TOML: {error}")]) from error


def merge(below: Values, above: Values) -> Values:
    """Both, value by value; where both say something, what is above holds."""
    merged = dict(below)
    for group, values in above.items():
        under = merged.get(group, {})
        merged[group] = {**under, **values} if isinstance(under, dict) and isinstance(values, dict) else values
    return merged


def explain(
    error: ValidationError, groups: Groups, environment: Values | None = None, file: tuple[Path, str] | None = None
) -> list[SettingFault]:
    """What is wrong, with the place where it was said. Never the values: there are passwords among them.

    Args:
        error: what pydantic says.
        groups: all that may be set.
        environment: what came from there.
        file: the file that was read, and its text.
    """
    faults = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        path = tuple(map(str, each["loc"]))
        rule = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            rule = _unknown(_find_nearest(path, groups))
        elif each["type"] == "missing":
            rule = "is needed"
        if len(path) > 1 and path[1] in (environment or {}).get(path[0], {}):
            faults.append(SettingFault(_ENVIRONMENT, _variable(*path[:2]), rule))
        else:
            line = _find_line(file[1], path) if file else None
            place = "" if file is None else f"{file[0]}, line {line}" if line else str(file[0])
            faults.append(SettingFault(place, ".".join(path), rule))
    return faults


def _variable(group: str, name: str) -> str:
    return f"{PREFIX}{group}__{name}".upper()


def _unknown(meant: str) -> str:
    return "there is no such setting" + (f"; did you mean {meant}?" if meant else "")


def _find_nearest(path: tuple[str, ...], groups: Groups) -> str:
    """The setting, or group, that was perhaps meant; empty where nothing is near."""
    known = [f"{group}.{name}" for group in groups for name in groups[group].model_fields]
    elsewhere = [setting for setting in known if setting.partition(".")[2] == path[-1]]
    if path[-1] not in groups and len(elsewhere) == 1:
        return elsewhere[0]  # the right name in another group, or in none
    return _nearest(".".join(path), known if len(path) > 1 else groups)


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(known), 1)), "")


def _find_line(text: str, path: tuple[str, ...]) -> int | None:
    """The line that a value is written on, or its group's heading where it is not written; None where neither is found
    (in inline tables, for example)."""
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
