"""How far a command got, and a VEN in an event: the names. PostgreSQL derives both from the steps that are known.

`command_state` (migrations/versions/0022_ack_words.py) is the only definition of a command's state, and
`event_ven_progress` (migrations/versions/0015_event_progress.py) of a VEN's status in an event. Evidence may arrive
late, repeatedly and in any order: each step keeps the first time at which it was known, so the order changes nothing.
"""

from typing import Literal

CommandState = Literal["decided", "logged", "sending", "sent", "acknowledged", "refused", "unanswered", "expired"]
EventVenStatus = Literal[
    "targeted", "sent", "accepted", "refused", "shedding", "restored", "unanswered", "lost", "expired"
]
