"""The stream roles: each is its own Faust app and consumer group, so that one falling behind never stalls another."""

from typing import Literal, get_args

Role = Literal["validate", "sink", "live"]
ROLES: tuple[Role, ...] = get_args(Role)
