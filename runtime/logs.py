"""What a process says of itself, on standard error: a line of text for people, an object of JSON for machines.

Each line names its `action` (`extra={"action": …}`). Names are stable and listed in docs/reference/logs.md; other words
of a line may change. What an alarm or a search may ask for, such as a VEN's id, is a field too.
"""

import logging
import sys
from types import TracebackType

from pythonjsonlogger.json import JsonFormatter

from schemas.settings.blocks import Level, LogSettings

logger = logging.getLogger(__name__)


def configure_logging(name: str, level: Level = "INFO") -> None:
    """Log to standard error as `name`; LOG_LEVEL goes over the level given.

    Raises:
        SettingsError: LOG_LEVEL or LOG_FORMAT is none.
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
    """Return what makes a line of text; a traceback follows in lines of its own."""
    return _Text(f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s")


class _Text(logging.Formatter):
    """A message may hold what devices and clients said: it begins no line of its own and commands no terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        text = super().formatMessage(record)
        if text.isprintable():
            return text
        return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def json_formatter(name: str) -> logging.Formatter:
    """Return what makes a line of JSON; the time is UTC."""
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
    """Whether to log a record: aiokafka reports each try to connect as an error, and whoever waits says so itself.

    What has a traceback is none of these: it ended something.
    """
    is_error_of_aiokafka = record.levelno == logging.ERROR and record.name.startswith("aiokafka.")
    return (
        not is_error_of_aiokafka or record.exc_info is not None or logging.getLogger("aiokafka").level < logging.ERROR
    )


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say why the process ends in the form of all else: a traceback of many lines is many entries for a machine."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("ended by an error: %s", error, exc_info=(kind, error, trace), extra={"action": "process_crashed"})
