"""What classes are called, which no run depends on: for those who look at samples and at answers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.spec.contracts import ProfileSpec


@dataclass(frozen=True, kw_only=True)
class NamedProfile(ProfileSpec):
    """A profile that says itself what its classes are called; of any other, the names are read with its data.

    Raises `ValueError` for names that are not those of all classes, each another one.
    """

    class_names: tuple[str, ...] = ()  # in the order of labels; (): those of the data

    def __post_init__(self) -> None:
        names: object = self.class_names  # of whoever writes a task without types
        told = f"class_names of a profile with num_classes={self.num_classes}: "
        if not isinstance(names, tuple | list) or not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError(f"{told}expected texts, such as ('cat', 'dog'), not {names!r}")
        if names and len(names) != self.num_classes:
            raise ValueError(f"{told}{len(names)} are named; name every class in the order of labels, or leave class_names out")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{told}{twice[0]!r} is there more than once; give each class a name of its own")
