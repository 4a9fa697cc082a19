"""The stream roles: each is its own Faust app and consumer group, so that one falling behind never stalls another."""

from typing import Literal, get_args

StreamRole = Literal["validate", "sink", "live"]
ROLES: tuple[StreamRole, ...] = get_args(StreamRole)
