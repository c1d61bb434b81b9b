"""Places answer, and are stored, as on the real redis-server."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.differential import Pair
from support.grammar import choice, coherent, commands
from support.programs import Step, each_program


@each_program(r"""
== GEOADD and where members are
GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD k 13.361389 38.115556 Palermo
GEOADD k CH 13.4 38.1 Palermo
GEOADD k NX 1 1 Palermo 2 2 other
GEOADD k XX CH 1 1 Palermo 3 3 nobody
GEOADD k NX XX 1 1 a
GEOADD k nx ch 1 1 a
GEOADD k 1 1
GEOADD k 1 1 a 2
GEOADD k 181 1 a
GEOADD k 1 86 a
GEOADD k inf 1 a
GEOADD k x 1 a
GEOADD k 1 1 b 200 1 a
GEOADD k NX XX CH
GEOADD k NX CH CH
ZRANGE k 0 -1 WITHSCORES
GEOPOS k Palermo missing Catania
GEOPOS k
GEOPOS missing a b
GEOHASH k Palermo missing Catania
GEOHASH missing a
GEODIST k Palermo Catania
GEODIST k Palermo Catania km
GEODIST k Palermo Catania MI
GEODIST k Palermo Catania ft
GEODIST k Palermo Catania light-years
GEODIST k Palermo missing
GEODIST missing a b
GEODIST k Palermo Catania km km
LPUSH l a
GEOADD l 1 1 a
GEOPOS l a
GEODIST l a b
GEOHASH l a

== GEOSEARCH in all its forms
GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD k 12.758489 38.788135 edge1 17.241510 38.788135 edge2
GEOSEARCH k FROMLONLAT 15 37 BYBOX 400 400 km ASC
GEOSEARCH k FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST
GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200 km DESC WITHHASH
GEOSEARCH k FROMMEMBER Palermo BYRADIUS 200 km ASC COUNT 1 WITHDIST
GEOSEARCH k FROMMEMBER Palermo BYRADIUS 500 km COUNT 2
GEOSEARCH k FROMMEMBER nobody BYRADIUS 500 km
GEOSEARCH missing FROMMEMBER nobody BYRADIUS 500 km
GEOSEARCH k FROMMEMBER Palermo FROMLONLAT 1 1 BYRADIUS 1 km
GEOSEARCH k FROMLONLAT 1 1 FROMMEMBER Palermo BYRADIUS 1 km
GEOSEARCH k FROMMEMBER Palermo FROMMEMBER Catania BYRADIUS 1 km
GEOSEARCH k FROMMEMBER Palermo BYBOX 1 1 km BYRADIUS 1 km
GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 km BYRADIUS 500 km ASC
GEOSEARCH k BYRADIUS 1 km ASC WITHDIST COUNT 1
GEOSEARCH k FROMMEMBER Palermo ASC WITHDIST COUNT 1
GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 km ANY
GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 km STOREDIST
GEOSEARCH k FROMMEMBER Palermo BYRADIUS -1 km
GEOSEARCH k FROMMEMBER Palermo BYBOX 1 -1 km
GEOSEARCH k FROMMEMBER Palermo BYBOX 1 x km
GEOSEARCH k FROMMEMBER Palermo BYBOX x 1 km
GEOSEARCH k FROMMEMBER Palermo BYRADIUS x km
GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 parsec
GEOSEARCHSTORE d k FROMLONLAT 15 37 BYRADIUS 200 km
ZRANGE d 0 -1 WITHSCORES
GEOSEARCHSTORE d k FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST COUNT 1
ZRANGE d 0 -1 WITHSCORES
GEOSEARCHSTORE d k FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST
GEOSEARCHSTORE d missing FROMLONLAT 15 37 BYRADIUS 200 km
EXISTS d
LPUSH l a
GEOSEARCH l FROMLONLAT 15 37 BYRADIUS 200 km
GEOSEARCHSTORE l k FROMLONLAT 15 37 BYRADIUS 200 km
TYPE l

== GEORADIUS and its kin
GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEORADIUS k 15 37 200 km ASC
GEORADIUS k 15 37 200 km WITHDIST WITHCOORD WITHHASH ASC
GEORADIUS k 15 37 200 km STORE d
ZRANGE d 0 -1 WITHSCORES
GEORADIUS k 15 37 200 km STOREDIST d COUNT 1
ZRANGE d 0 -1 WITHSCORES
GEORADIUS k 15 37 200 km STOREDIST d STORE e
ZRANGE e 0 -1 WITHSCORES
GEORADIUS k 15 37 200 km STORE d WITHDIST
GEORADIUS k 15 37 200 km STORE
GEORADIUS missing 15 37 200 km STORE d
EXISTS d
GEORADIUS missing 15 37 200 km
GEORADIUS missing 15 37 x km
GEORADIUSBYMEMBER k Palermo 200 km ASC
GEORADIUSBYMEMBER k nobody 200 km
GEORADIUSBYMEMBER missing nobody x parsec
GEORADIUSBYMEMBER k Palermo x km
GEORADIUSBYMEMBER k Palermo 200 km STORE d
ZRANGE d 0 -1
GEORADIUS_RO k 15 37 200 km ASC
GEORADIUS_RO k 15 37 200 km STORE d
GEORADIUSBYMEMBER_RO k Palermo 200 km DESC
GEORADIUSBYMEMBER_RO k Palermo 200 km COUNT 0
GEORADIUSBYMEMBER_RO k Palermo 200 km COUNT x
COMMAND GETKEYS GEORADIUS k 15 37 200 km STORE d
COMMAND GETKEYS GEORADIUSBYMEMBER k Palermo 200 km STOREDIST d
""")
def test_replies(pair: Pair, steps: Sequence[Step], mode: dict[str, Any]) -> None:
    pair.same(steps, **mode)


COMMANDS = """
GEOADD key (longitude latitude member)+
GEOADD key longitude latitude member longitude latitude member longitude latitude member
GEOADD key longitude latitude member longitude latitude member longitude latitude member
GEOADD key [NX|XX] [CH] (longitude latitude member)+
GEODIST key member member unit
GEOPOS key member member
GEOHASH key member member
GEOSEARCH key (FROMMEMBER member|FROMLONLAT longitude latitude) BYRADIUS size unit (ASC|DESC) [WITHDIST]
GEOSEARCH key (FROMMEMBER member|FROMLONLAT longitude latitude) BYBOX size size unit (ASC|DESC) [WITHDIST]
@unordered GEOSEARCH key FROMLONLAT longitude latitude (BYRADIUS size unit|BYBOX size size unit) WITHCOORD
GEOSEARCH key FROMLONLAT longitude latitude BYRADIUS size unit COUNT 100
GEOSEARCHSTORE key key (FROMMEMBER member|FROMLONLAT longitude latitude) BYBOX size size unit [STOREDIST]
GEORADIUS key longitude latitude size unit STORE key
GEORADIUSBYMEMBER key member size unit STOREDIST key
ZREM key member
"""


def degrees(most: float) -> st.SearchStrategy[bytes]:
    """Anywhere, and often at the edges and near the middle."""
    return st.one_of(
        st.floats(-most, most), st.floats(-1, 1), st.sampled_from([most, -most, most - 0.01, 0.0])
    ).map(lambda value: f"{value:.9f}".encode())


def test_random_programs(pair: Pair) -> None:
    words = {
        "key": choice("a", "b"),
        "member": choice("m", "n", "o", "p", "q", "r", "s"),
        "longitude": degrees(180.0),
        "latitude": degrees(85.05112878),
        "unit": choice("m", "km", "ft", "mi"),
        "size": choice("0", "1", "10", "100.5", "1000", "5000", "20000", "1000000"),
    }

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(commands(COMMANDS, words), min_size=2, max_size=25), st.sampled_from([2, 3]))
    def program(steps: list[Step], protocol: int) -> None:
        pair.same(coherent(steps), protocol=protocol)

    program()
