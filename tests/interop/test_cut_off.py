"""Three machines, each with a server and a sentinel, and the cable of one is pulled: nothing is lost.

The machines are network namespaces; an application beside the cut-off master, on its Unix socket, goes on
talking to it, while others, across the network, are led to the new one.
"""

from collections.abc import Iterator

import pytest
from support.netns import Network
from support.sentinels import SERVICE, Deployment, Writer, deployment
from support.servers import wait_for

pytestmark = [pytest.mark.peer("redis-sentinel", "iproute2")]
LAG = 2
STRICT = {"min-replicas-to-write": "1", "min-replicas-max-lag": str(LAG)}


@pytest.fixture(scope="module")
def _deployed(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("cut"), STRICT, replicas=2, places=network.places) as made:
        yield made


@pytest.fixture
def deployed(network: Network, _deployed: Deployment) -> Deployment:
    network.heal_all()
    _deployed.heal()
    return _deployed


def test_a_master_that_is_cut_off_is_replaced_takes_no_more_writes_and_comes_back_as_a_replica(
    network: Network, deployed: Deployment
) -> None:
    former = deployed.master
    machine = deployed.servers.index(former)
    beyond = [one for n, one in enumerate(deployed.sentinels) if n != machine]
    across = deployed.sentinel_client(decode_responses=True).master_for(SERVICE)
    with Writer(across) as application, Writer(deployed.client(former), prefix="beside") as beside:
        application.wait_acknowledged(50)
        beside.wait_acknowledged(50)
        network.cut(machine)
        promoted = deployed.wait_promoted(former, beyond)
        application.wait_acknowledged(50)
        # Its replicas have been silent for longer than the lag: it takes no write that it alone would have.
        wait_for(lambda: "NOREPLICAS" in beside.failures, "the cut-off master refuses writes")
        known = len(beside.acknowledged)
        assert deployed.replication(former)["role"] == "master"
        network.heal(machine)
        deployed.wait_whole()
        assert len(beside.acknowledged) == known
        wait_for(lambda: "ReadOnlyError" in beside.failures, "the former master is a replica to its clients")
        application.wait_acknowledged(50)
    assert deployed.master is promoted
    with deployed.client(promoted) as connection:
        assert application.lost(connection) == []
        assert beside.lost(connection) == []
    deployed.wait_equal()


def test_a_master_whose_replicas_are_cut_off_stays_master_and_waits_for_them(
    network: Network, deployed: Deployment
) -> None:
    master = deployed.master
    others = [n for n, one in enumerate(deployed.servers) if one is not master]
    before = deployed.replication(master)["master_replid"]
    with Writer(deployed.client(master)) as application:
        application.wait_acknowledged(50)
        for machine in others:
            network.cut(machine)
        wait_for(lambda: "NOREPLICAS" in application.failures, "writes are refused")
        for machine in others:
            # One after the other: two sentinels that find each other before the master would replace it.
            network.heal(machine)
            deployed.wait_trusted(deployed.sentinels[machine])
        application.wait_acknowledged(50)
    deployed.wait_whole()
    assert deployed.master is master
    assert deployed.replication(master)["master_replid"] == before
    with deployed.client(master) as connection:
        assert application.lost(connection) == []
    deployed.wait_equal()
