"""Configurations are frozen dataclasses; a YAML file holds only what differs from them.

A default lives once, beside the field, and the field's docstring is the command line's help.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hearken.errors import UsageError

__all__ = ["dump", "load", "needs", "smoke_of"]

C = TypeVar("C")


def load(
    cls: type[C], file: Path | None = None, overrides: Mapping[str, object] | None = None
) -> C:
    """Build `cls` from its defaults, a YAML file of differences and explicit overrides.

    Args:
        cls: a frozen dataclass.
        file: YAML mapping field names to values; None for none.
        overrides: wins over the file.

    Raises:
        UsageError: unknown field, value of the wrong type, or a file that is not a mapping.
    """
    values: dict[str, object] = dict(_read(file)) if file is not None else {}
    values.update(overrides or {})
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            where = f"{file}: " if file is not None else ""
            raise UsageError(
                f"{where}{cls.__name__} has no field {name!r}; it has: {', '.join(known)}"
            )
    return cls(**{n: _convert(v, hints[n], f"{cls.__name__}.{n}") for n, v in values.items()})


def smoke_of(cls: type[C], defaults: Mapping[str, object], changes: Mapping[str, object]) -> C:
    """The tiny configuration of a loop: its smoke defaults, then the caller's changes."""
    return load(cls, None, {**defaults, **changes})


def dump(config: object) -> str:
    """The whole resolved configuration as YAML, in field order."""
    import yaml

    plain = {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def needs(config: object, *names: str) -> None:
    """Refuse a path that was left at its empty default.

    Raises:
        UsageError: names the missing flag.
    """
    for name in names:
        value = getattr(config, name)
        if value is None or value == () or str(value) in ("", "."):
            raise UsageError(f"--{name.replace('_', '-')} is required")


def _read(file: Path) -> Mapping[str, object]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{file}: no such configuration; see conf/ for examples") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{file}: not readable as YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(k, str) for k in found):
        raise UsageError(f"{file}: expected a mapping of field names to values")
    return found


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`; only lossless conversions."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(value, next(a for a in args if a is not type(None)), where)
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = [args[0]] * len(value) if args[1:] == (...,) else list(args)
        if len(inner) == len(value):
            return tuple(_convert(v, a, where) for v, a in zip(value, inner, strict=True))
    elif origin is typing.Literal:
        if value in args:
            return value
    elif hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    elif hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:  # YAML 1.1 reads 1e-4 as text
            return float(value)
        except ValueError:
            pass
    elif hint in (str, bool, int) and type(value) is hint:
        return value
    raise UsageError(f"{where}: {value!r} is not a {hint}")
