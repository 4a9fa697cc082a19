"""Figures in answers have no tail of binary fractions."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

import api.app  # noqa: F401 - so that all models are there
from schemas.rest.model import RestModel
from schemas.rest.stats import NetworkStats


def models(base: type[RestModel] = RestModel) -> Iterator[type[RestModel]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def test_a_sum_reads_as_it_was_meant() -> None:
    stats = NetworkStats(
        ven_count=2,
        online_vens=2,
        controllable_power_kw=0.1 + 0.2,
        potential_load_reduction_kw=sum([0.1] * 10),
        household_usage_kw=1e9,
        current_load_reduction_kw=-0.1 - 0.2,
        average_house_power=25 / 3,
        as_of=datetime.now(UTC),
    )
    assert stats.controllable_power_kw == 0.3
    assert stats.potential_load_reduction_kw == 1.0
    assert stats.household_usage_kw == 1e9
    assert stats.current_load_reduction_kw == -0.3
    assert stats.average_house_power == 8.333333
    assert stats.total_house_power_today is None


@pytest.mark.parametrize("model", sorted(models(), key=str), ids=str)
def test_every_figure_of_every_model_is_rounded_or_bounded(model: type[RestModel]) -> None:
    def bare(annotation: Any) -> bool:
        return annotation is float or any(part is float for part in get_args(annotation))

    assert [name for name, field in model.model_fields.items() if bare(field.annotation) and not field.metadata] == []
