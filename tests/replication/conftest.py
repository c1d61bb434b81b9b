"""A master that is the test itself, and servers of its own process."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.following import Servers
from support.raw_replication import PatientMaster


@pytest.fixture
def master() -> Iterator[PatientMaster]:
    with PatientMaster() as made:
        yield made


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)
