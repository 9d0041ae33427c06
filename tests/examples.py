"""How many examples the property tests draw.

Every run draws the same ones, so that a red build is red for its change alone.
`FASTGRAD_TEST_EXAMPLES=20` draws new ones, twenty times as many: for a search at leisure.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("FASTGRAD_TEST_EXAMPLES", "0"))
settings.register_profile(
    "fastgrad",
    deadline=None,
    derandomize=not FACTOR,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # the machine's load is no news of the code
)
settings.load_profile("fastgrad")


def examples(count: int) -> settings:
    """Returns the decorator that lets a property test draw `count` examples."""
    return settings(max_examples=count * max(FACTOR, 1))
