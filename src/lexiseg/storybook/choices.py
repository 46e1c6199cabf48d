"""What can be asked for of the drawn world. Loads no drawing, so that the command line can name it at once."""

from typing import Literal, get_args

Role = Literal["base", "novel", "dusk", "semantic-only", "image-level", "captions", "strangers"]
Split = Literal["train", "val", "test"]
ROLES: tuple[Role, ...] = get_args(Role)
SPLITS: tuple[Split, ...] = get_args(Split)
