"""YAML as the generated descriptions are written."""

from typing import Any

import yaml


def plain_yaml(document: Any) -> str:
    """Return a document as YAML, in its own order, the same for the same document."""
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: readers and tools handle anchors badly."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - of nothing
        return True
