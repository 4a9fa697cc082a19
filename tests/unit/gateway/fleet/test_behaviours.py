"""The behaviours of a fleet: as many homes as the shares say, and how shares are parsed."""

import pytest

from gateway.fleet import Behaviour
from gateway.fleet.behaviours import FIELD_MIX, behaviours, generations, parse_shares


def test_behaviours_match_their_shares_and_the_seed() -> None:
    chosen = behaviours(1, 200, FIELD_MIX)
    assert chosen == behaviours(1, 200, FIELD_MIX) != behaviours(2, 200, FIELD_MIX)
    assert {behaviour: chosen.count(behaviour) for behaviour in FIELD_MIX} == {
        behaviour: round(200 * share) for behaviour, share in FIELD_MIX.items()
    }
    assert set(behaviours(1, 50, {})) == {Behaviour.COMPLIANT}
    assert len(set(generations(1, 50))) == 2


def test_shares_are_parsed_and_errors_named() -> None:
    assert parse_shares("slow=0.1, refuses=0.05") == {Behaviour.SLOW: 0.1, Behaviour.REFUSES: 0.05}
    for wrong in ("rude=0.1", "slow", "slow=much", ""):
        with pytest.raises(ValueError, match=r"is not BEHAVIOUR=SHARE"):
            parse_shares(wrong)
    for wrong in ("slow=0.6,lies=0.6", "slow=-0.1", "slow=nan"):
        with pytest.raises(ValueError, match="between 0 and 1"):
            parse_shares(wrong)
