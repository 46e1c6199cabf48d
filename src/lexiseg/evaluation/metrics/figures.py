"""What the figures of every task have in common: how they stand in tables and in JSON."""

from typing import Any, ClassVar

from lexiseg.core.tables import percent


class Figures:
    """Figures of a class or of a group of classes, as fractions."""

    __slots__ = ()
    NAMES: ClassVar[tuple[str, ...]]
    """Fields that stand in tables, the main one first."""

    @property
    def main(self) -> Any:
        """What classes are sorted by."""
        return getattr(self, self.NAMES[0])

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {name: getattr(self, name) for name in self.NAMES}

    def cells(self) -> tuple[str, ...]:
        """As they stand in a table, in percent; a dash where there is none."""
        return tuple(percent(getattr(self, name)) for name in self.NAMES)
