"""Places on the globe as numbers: 26 bits of latitude and 26 of longitude, interleaved, so that what is near
has a prefix in common; and the cells to look into for what lies within a circle or a box. Pure functions.

Coordinates are degrees, distances metres on a sphere of Redis's radius (haversine). A cell is (bits, step):
its place in a grid of 2^step by 2^step. The algorithm is that of geohash-int and of Redis's geohash_helper.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

EARTH_RADIUS = 6372797.560856
MERCATOR_MAX = 20037726.37
STEP_MAX = 26
LONGITUDES = (-180.0, 180.0)
LATITUDES = (-85.05112878, 85.05112878)  # what the Mercator projection can show (EPSG:900913)
ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"

Cell = tuple[int, int]
Range = tuple[float, float]


def _spread(number: int) -> int:
    """The 32 bits of a number, each followed by a zero (reading from the top)."""
    number = (number | number << 16) & 0x0000FFFF0000FFFF
    number = (number | number << 8) & 0x00FF00FF00FF00FF
    number = (number | number << 4) & 0x0F0F0F0F0F0F0F0F
    number = (number | number << 2) & 0x3333333333333333
    return (number | number << 1) & 0x5555555555555555


def _squeeze(number: int) -> int:
    """Every second bit, the lowest first taken."""
    number &= 0x5555555555555555
    number = (number | number >> 1) & 0x3333333333333333
    number = (number | number >> 2) & 0x0F0F0F0F0F0F0F0F
    number = (number | number >> 4) & 0x00FF00FF00FF00FF
    number = (number | number >> 8) & 0x0000FFFF0000FFFF
    return (number | number >> 16) & 0x00000000FFFFFFFF


def encode(longitude: float, latitude: float, step: int = STEP_MAX, latitudes: Range = LATITUDES) -> int:
    """The bits of the cell a place is in."""
    x = (longitude - LONGITUDES[0]) / (LONGITUDES[1] - LONGITUDES[0])
    y = (latitude - latitudes[0]) / (latitudes[1] - latitudes[0])
    return _spread(int(y * (1 << step)) & 0xFFFFFFFF) | _spread(int(x * (1 << step)) & 0xFFFFFFFF) << 1


def area(cell: Cell) -> tuple[Range, Range]:
    """(longitudes, latitudes) that a cell covers."""
    bits, step = cell
    x, y, size = _squeeze(bits >> 1), _squeeze(bits), 1 << step
    width, height = LONGITUDES[1] - LONGITUDES[0], LATITUDES[1] - LATITUDES[0]
    return (
        (LONGITUDES[0] + (x * 1.0 / size) * width, LONGITUDES[0] + ((x + 1) * 1.0 / size) * width),
        (LATITUDES[0] + (y * 1.0 / size) * height, LATITUDES[0] + ((y + 1) * 1.0 / size) * height),
    )


def decode(bits: int) -> tuple[float, float]:
    """(longitude, latitude) of the middle of a cell of the finest grid."""
    (west, east), (south, north) = area((bits, STEP_MAX))
    longitude = min(max((west + east) / 2, LONGITUDES[0]), LONGITUDES[1])
    return longitude, min(max((south + north) / 2, LATITUDES[0]), LATITUDES[1])


def text(bits: int) -> bytes:
    """The usual geohash of eleven letters: over all latitudes, and the last one unknown, for there are 52
    bits and not 55.
    """
    longitude, latitude = decode(bits)
    bits = encode(longitude, latitude, STEP_MAX, (-90.0, 90.0))
    letters = [ALPHABET[bits >> (52 - 5 * (i + 1)) & 31] for i in range(10)]
    return "".join([*letters, ALPHABET[0]]).encode()


def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Metres between two places, (longitude, latitude) each."""
    x1, x2 = math.radians(a[0]), math.radians(b[0])
    v = math.sin((x2 - x1) / 2)
    if v == 0.0:
        return EARTH_RADIUS * abs(math.radians(b[1]) - math.radians(a[1]))
    y1, y2 = math.radians(a[1]), math.radians(b[1])
    u = math.sin((y2 - y1) / 2)
    return 2.0 * EARTH_RADIUS * math.asin(math.sqrt(u * u + math.cos(y1) * math.cos(y2) * v * v))


@dataclass(frozen=True, slots=True)
class Shape:
    """A circle (radius) or a box (width, height) around a centre, in metres."""

    centre: tuple[float, float]
    radius: float | None = None
    width: float = 0.0
    height: float = 0.0

    def distance_to(self, place: tuple[float, float]) -> float | None:
        """Metres from the centre to a place; None where it lies outside."""
        if self.radius is not None:
            metres = distance(self.centre, place)
            return metres if metres <= self.radius else None
        if EARTH_RADIUS * abs(math.radians(place[1]) - math.radians(self.centre[1])) > self.height / 2:
            return None
        if distance((place[0], place[1]), (self.centre[0], place[1])) > self.width / 2:
            return None
        return distance(self.centre, place)

    def bounds(self) -> tuple[Range, Range]:
        """(longitudes, latitudes) that hold the shape."""
        longitude, latitude = self.centre
        half_height = self.height / 2 if self.radius is None else self.radius
        half_width = self.width / 2 if self.radius is None else self.radius
        up = math.degrees(half_height / EARTH_RADIUS)
        edge = latitude - up if latitude < 0 else latitude + up  # the edge nearer the pole is the wider
        aside = math.degrees(half_width / EARTH_RADIUS / math.cos(math.radians(edge)))
        return (longitude - aside, longitude + aside), (latitude - up, latitude + up)

    def steps(self) -> int:
        """How fine a grid may be for nine of its cells to cover the shape, mostly."""
        reach = self.radius
        if reach is None:
            reach = math.sqrt((self.width / 2) * (self.width / 2) + (self.height / 2) * (self.height / 2))
        if reach == 0:
            return STEP_MAX
        step = 1
        while reach < MERCATOR_MAX:
            reach *= 2
            step += 1
        step -= 2
        latitude = abs(self.centre[1])
        step -= (latitude > 66) + (latitude > 80)  # a degree is short near the poles
        return min(max(step, 1), STEP_MAX)

    def cells(self) -> Iterator[tuple[int, int]]:
        """Ranges of scores, (first, beyond the last), to look into: the cell of the centre and its
        neighbours, less what the shape does not reach.
        """
        (west, east), (south, north) = self.bounds()
        step = self.steps()
        around = neighbours((encode(*self.centre, step), step))
        if step > 1 and self._sticks_out(around):
            step -= 1
            around = neighbours((encode(*self.centre, step), step))
        longitudes, latitudes = area(around[0, 0])
        useless: set[tuple[int, int]] = set()
        if step >= 2:
            useless = {
                (x, y)
                for x, y in around
                if (y < 0 and latitudes[0] < south) or (y > 0 and latitudes[1] > north)
                or (x < 0 and longitudes[0] < west) or (x > 0 and longitudes[1] > east)
            }  # fmt: skip
        last = None
        for place, (bits, _) in around.items():
            # Of a globe in few cells, neighbours may be the same one.
            if place in useless or (bits, step) == (0, 0) or bits == last:
                continue
            last = bits
            shift = 52 - 2 * step
            yield bits << shift, (bits + 1) << shift

    def _sticks_out(self, around: dict[tuple[int, int], Cell]) -> bool:
        (west, east), (south, north) = self.bounds()
        return (
            area(around[0, 1])[1][1] < north
            or area(around[0, -1])[1][0] > south
            or area(around[1, 0])[0][1] < east
            or area(around[-1, 0])[0][0] > west
        )


# The cell itself, then those around it: steps east and north.
AROUND = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))


def neighbours(cell: Cell) -> dict[tuple[int, int], Cell]:
    """A cell and the eight around it, by how far east and north they are; the grid's edges meet."""
    bits, step = cell
    x, y, mask = _squeeze(bits >> 1), _squeeze(bits), (1 << step) - 1

    def moved(at: int, by: int) -> int:
        return (at + by) & mask if by else at  # at the very edge of the globe a place lies beyond the grid

    return {(dx, dy): (_spread(moved(y, dy)) | _spread(moved(x, dx)) << 1, step) for dx, dy in AROUND}
