"""The YAML format of the generated descriptions."""

from typing import Any

import yaml


def plain_yaml(document: Any) -> str:
    """Return a document as YAML, in its own order; the output is deterministic."""
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """Writes repeated parts in full, because many readers and tools do not support anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - applies to all data
        return True
