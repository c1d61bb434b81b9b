"""The versions rlite speaks of: its own, and the Redis release whose behaviour it claims. May be imported by
all.
"""

RLITE_VERSION = "0.1.0"
REDIS_VERSION = "7.4.0"
