"""A YAML file in, plain values out. Keys that are given twice are refused, as the last would win in silence, and keys without a
value, which may be `null` where that is written. No torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"
NULL = "tag:yaml.org,2002:null"
FLOAT = "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """Plain values only; 1e-4 is a number, which YAML 1.1 takes for a text, and 010, 1:30 and 1:30.5 are none: it takes 8,
    90 and 90.5."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        lines: dict[Any, int] = {}
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            name, line = self.construct_object(key), key.start_mark.line + 1
            if name in lines:
                raise ValueError(f"{name} is given twice, in lines {lines[name]} and {line}")
            lines[name] = line
            if value.tag == NULL and not value.value:
                raise ValueError(f"line {line}: {name} has no value; give it one, or leave it out")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        value = int(super().construct_yaml_int(node))
        if re.match(r"[-+]?0[0-9]|.*:", node.value):
            raise ValueError(f"line {node.start_mark.line + 1}: {node.value} is {value} to YAML; write it without a zero "
                             "before it or a colon in it, or in quotes")
        return value


    def construct_yaml_float(self, node: Any) -> float:
        value = float(super().construct_yaml_float(node))
        if ":" in node.value:
            raise ValueError(f"line {node.start_mark.line + 1}: {node.value} is {value:g} to YAML; write it without a colon in "
                             "it, or in quotes")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor(FLOAT, _Loader.construct_yaml_float)
_Loader.add_implicit_resolver(FLOAT, re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))


def read_yaml(path: Path) -> Any:
    """What a file holds. Raises `ValueError` with its path, the reason and, where there is one, the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (at byte {error.start}); save it so") from error
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{path}{_place(error, text)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ValueError(f"{path}: {reason}") from error


def _place(error: yaml.MarkedYAMLError, text: str) -> str:
    """The line and what is wrong there"""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f": {error.problem}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f", line {mark.line + 1}: it is indented by a tab; YAML wants spaces"
    return f", line {mark.line + 1}: {error.problem}"
