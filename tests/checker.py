"""The runtime checker of shapes and types that pytest lays over the package: beartype, in which an int is a float."""

from beartype import BeartypeConf, beartype

typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True))
