"""Logging to standard error: text for people, one JSON object per line for machines.

Each line has an `action` (`extra={"action": …}`). Actions are stable and listed in docs/reference/logs.md; messages may
change. Values that alarms or searches need, such as a VEN's id, are fields too.
"""

import logging
import sys
from types import TracebackType

from pythonjsonlogger.json import JsonFormatter

from schemas.settings.blocks import Level, LogSettings

logger = logging.getLogger(__name__)


def configure_logging(name: str, level: Level = "INFO") -> None:
    """Log to standard error as process `name`; LOG_LEVEL overrides `level`.

    Raises:
        SettingsError: LOG_LEVEL or LOG_FORMAT has an unknown value.
    """
    settings = LogSettings.load()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter(name) if as_json else text_formatter(name))
    handler.addFilter(_without_reconnects)
    least = settings.log_level if "log_level" in settings.model_fields_set else level
    logging.basicConfig(level=least, handlers=[handler])
    _quieten(logging.getLogger().level)
    if as_json:
        sys.excepthook = _log_crash


def text_formatter(name: str) -> logging.Formatter:
    """Return the formatter for text; a traceback follows the message on separate lines."""
    return _Text(f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s")


class _Text(logging.Formatter):
    """Escapes control characters: text of devices and clients must not start a line or control the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name of logging's method
        text = super().formatMessage(record)
        if text.isprintable():
            return text
        return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def json_formatter(name: str) -> logging.Formatter:
    """Return the formatter for JSON; times are UTC."""
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"},
        static_fields={"process": name},
        json_ensure_ascii=False,
    )


def _quieten(least: int) -> None:
    for chatty in ("faust", "mode", "httpx", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, least))
    logging.getLogger("aiokafka").setLevel(max(logging.ERROR, least) if least > logging.DEBUG else least)


def _without_reconnects(record: logging.LogRecord) -> bool:
    """Return whether to log a record: not aiokafka's errors of each attempt to connect, which our code logs itself.

    Errors with a traceback are logged: they ended something.
    """
    is_error_of_aiokafka = record.levelno == logging.ERROR and record.name.startswith("aiokafka.")
    return (
        not is_error_of_aiokafka or record.exc_info is not None or logging.getLogger("aiokafka").level < logging.ERROR
    )


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log the error that ends the process as one JSON line: a plain traceback would be many log entries."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("ended by an error: %s", error, exc_info=(kind, error, trace), extra={"action": "process_crashed"})
