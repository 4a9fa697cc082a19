"""The data of a free command, by its op: read in all spellings, sent in those of the contract."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from schemas.dr import commands
from schemas.dr.commands import Command
from schemas.rest.values import Duration, EventName, Kw, Name, PositiveKw, Priority

_DURATIONS = ("durationS", "duration_s", "duration_sec", "duration")
_EVENT_IDS = ("eventId", "event_id")
_LOAD_IDS = ("loadId", "load_id")
_POWERS = ("requestedReductionKw", "shedKw", "shed_kw", "reduceKw", "amountKw")
# Devices have fields of their own; a name that is as near as this to a known one is a slip.
_CLOSE = 0.8
_SPELLINGS = {*_DURATIONS, *_EVENT_IDS, *_LOAD_IDS, *_POWERS}


class BadDataError(Exception):
    """The data of a command are wrong; `errors` is (field, message) of each."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("the data are not valid")
        self.errors = errors


class _Data(BaseModel):
    """Unknown fields are passed on, but durations below 1 s are refused: devices read them as one hour."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    def command(self, ven_id: str, op: str) -> Command:
        return commands.other_command(ven_id, op, self.model_dump(exclude_none=True))

    @property
    def more(self) -> dict[str, Any]:
        return {name: value for name, value in (self.model_extra or {}).items() if name not in _SPELLINGS}

    @model_validator(mode="after")
    def _check_spelling(self) -> Self:
        """Refuse a field that nearly has a known name: a misspelt duration sheds without end."""
        known = {name.lower(): name for name in _known_names(type(self))}
        for name in self.model_extra or {}:
            close = get_close_matches(name.lower(), known, n=1, cutoff=_CLOSE)
            if close and name not in known.values() and name not in _SPELLINGS:
                raise ValueError(f"unknown field: {name} (did you mean {known[close[0]]}?)")
        return self

    @model_validator(mode="after")
    def _check_duration(self) -> Self:
        for name in _DURATIONS:
            value = (self.model_extra or {}).get(name, 1)
            if isinstance(value, bool | str) or value is None or not value >= 1:
                raise ValueError(f"{name} is at least 1 s")
        return self


class _Event(_Data):
    shed_kw: PositiveKw = Field(validation_alias=AliasChoices(*_POWERS))
    duration_s: Duration = Field(validation_alias=AliasChoices(*_DURATIONS))
    event_id: EventName | None = Field(None, validation_alias=AliasChoices(*_EVENT_IDS))

    def command(self, ven_id: str, op: str) -> Command:
        build = commands.event_command if op == commands.EVENT else commands.shed_panel_command
        return build(ven_id, self.event_id or commands.new_event_id(), self.shed_kw, self.duration_s, self.more)


class _Restore(_Data):
    event_id: EventName | None = Field(None, validation_alias=AliasChoices(*_EVENT_IDS))

    def command(self, ven_id: str, op: str) -> Command:  # noqa: ARG002 - it is the one op
        return commands.restore_command(ven_id, self.event_id, self.more)


class _ShedLoad(_Data):
    load_id: Name = Field(validation_alias=AliasChoices(*_LOAD_IDS))
    reduce_kw: PositiveKw = Field(validation_alias=AliasChoices(*_POWERS))
    duration_s: Duration | None = Field(None, validation_alias=AliasChoices(*_DURATIONS))
    event_id: EventName | None = Field(None, validation_alias=AliasChoices(*_EVENT_IDS))

    def command(self, ven_id: str, op: str) -> Command:  # noqa: ARG002 - it is the one op
        return commands.shed_load_command(
            ven_id, self.load_id, self.reduce_kw, self.duration_s, self.event_id, self.more
        )


class _SetLoad(_Data):
    load_id: Name = Field(validation_alias=AliasChoices(*_LOAD_IDS))
    enabled: StrictBool | None = None
    capacity_kw: Kw | None = Field(None, validation_alias="capacityKw")
    priority: Priority | None = None

    def command(self, ven_id: str, op: str) -> Command:  # noqa: ARG002 - it is the one op
        return commands.set_load_command(ven_id, self.load_id, self.enabled, self.capacity_kw, self.priority, self.more)


class _SetConfig(_Data):
    report_interval_seconds: Duration | None = None
    target_power_kw: Kw | None = None


class _Get(_Data):
    what: Literal["status", "config", "loads"]


def _known_names(kind: type[_Data]) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        yield from (str(each) for each in alias.choices) if isinstance(alias, AliasChoices) else [str(alias or name)]


_KINDS: dict[str, type[_Data]] = {
    commands.EVENT: _Event,
    commands.SHED_PANEL: _Event,
    commands.RESTORE: _Restore,
    commands.SHED_LOAD: _ShedLoad,
    commands.SET_LOAD: _SetLoad,
    commands.SET_CONFIG: _SetConfig,
    commands.GET: _Get,
}


def free_command(ven_id: str, op: str, data: Mapping[str, Any] | None) -> Command:
    """Make a command of an op and its data.

    Raises:
        BadDataError: the data are not what the op needs.
    """
    try:
        return _KINDS.get(op, _Data).model_validate(data or {}).command(ven_id, op)
    except ValidationError as error:
        found = [(".".join(str(part) for part in each["loc"]), each["msg"]) for each in error.errors()]
        raise BadDataError(found) from None
