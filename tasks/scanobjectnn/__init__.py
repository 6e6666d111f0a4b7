"""ScanObjectNN: the cloud of a scanned object in, its class out; three variants, at paper scale only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from benchmark.spec.contracts import ProfileSpec
from tasks.modelnet import ModelNet
from tasks.scanobjectnn.profiles import OBJ_BG, OBJ_ONLY, PB_T50_RS


class ObjectsOnBackground(ModelNet):
    name = "scanobjectnn-obj-bg"
    summary = "classification of scanned objects with what is around them (ScanObjectNN OBJ_BG)"
    sources = frozenset({"SceneNN", "ScanNet"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"paper": OBJ_BG}


class ObjectsAlone(ObjectsOnBackground):
    name = "scanobjectnn-obj-only"
    summary = "classification of scanned objects, cut out (ScanObjectNN OBJ_ONLY)"
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"paper": OBJ_ONLY}


class PerturbedObjects(ObjectsOnBackground):
    name = "scanobjectnn-pb-t50-rs"
    summary = "classification of scanned objects, shifted, turned and scaled (ScanObjectNN PB_T50_RS, the hardest)"
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"paper": PB_T50_RS}


TASKS = (ObjectsOnBackground(), ObjectsAlone(), PerturbedObjects())
