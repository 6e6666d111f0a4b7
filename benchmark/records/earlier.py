"""A record of schema 1 or 2 in, the fields of one of today's out.

Until schema 2 the digest of the code was a field of the spec, and so part of the run's id. Here it
becomes the one part "whole" of the record's `code`, and the ids of the run and of what it started
from become those of what was asked alone.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from benchmark.spec.runspec import LABELS, RunSpec, canonical_json

WHOLE = "whole"  # the part that stands for all code where a record tells none apart


class RecordError(ValueError):
    """A record cannot be read or is not of this schema."""


def translated(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The fields of today; raises `RecordError` where the run's id does not fit its spec."""
    spec = data.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("code"), str):
        raise RecordError(f"{path}: spec: no digest of the code, which every record of schema 2 has")
    named = {key: value for key, value in spec.items() if key not in LABELS}
    run_id = hashlib.sha256(canonical_json(named).encode()).hexdigest()[:12]
    if data.get("run_id") != run_id:
        raise RecordError(f"{path}: run_id {data.get('run_id')} does not fit its spec ({run_id})")
    spec = dict(spec)
    code = {WHOLE: spec.pop("code")}
    where, starts = data.get("environment") or {}, spec.get("starts") or {}
    if not isinstance(where, dict) or not isinstance(starts, dict):
        raise RecordError(f"{path}: environment, and starts of the spec: expected names with values")
    environment = dict(where)
    if stack := environment.pop("lockstep_code", None):
        code["stack"] = stack
    spec["starts"] = {role: _today(path.parent.parent, one) for role, one in starts.items()}
    fields = {key: value for key, value in data.items() if key != "schema_version"}
    validated = RunSpec.model_validate(spec)
    return {**fields, "spec": validated, "run_id": validated.run_id, "code": code,
            "environment": environment}


@functools.lru_cache(4096)
def _today(runs: Path, earlier: str) -> str:
    """The id of today of a pretraining that lies beside; the earlier one where it is not there."""
    for path in runs.glob(f"*-{earlier}/record.json"):
        try:
            spec = dict(from_json(path.read_bytes())["spec"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        spec.pop("code", None)
        return RunSpec.model_validate(spec).run_id
    return earlier
