"""Prints the lowest versions that pyproject.toml allows, as constraints for pip: `.ci/run lowest` installs them."""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?>=(?P<version>[0-9.]+)$")


def lowest(requirements: Sequence[str]) -> Iterator[str]:
    """Each requirement at its lower bound.

    Raises:
        ValueError: if one has no lower bound or more than that.
    """
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found is None:
            raise ValueError(f"expected 'name>=version' in {PYPROJECT.name}, got {requirement!r}: give it one bound.")
        yield f"{found['name']}=={found['version']}"


def main() -> None:
    """Prints the bounds of what the package needs; what tests need beside it is left to pip."""
    print(*lowest(tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]), sep="\n", file=sys.stdout)


if __name__ == "__main__":
    main()
