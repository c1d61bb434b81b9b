"""The table of directives, each declared once: redis.conf, RLITE_*, flags, CONFIG and the manual follow it.

Rows only; reading and checking values is values.py. May be imported by all; imports nothing of rlite.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a value is read and shown."""

    BOOL = "yes or no"
    INT = "a whole number"
    MEMORY = "a memory size such as 100mb"
    PERCENT = "a memory size or a percentage"
    CHOICE = "one of a few words"
    TEXT = "any text"
    NAME = "the name of a file, without its directory"
    WORDS = "words"
    OCTAL = "permission bits in octal"
    SAVE = "pairs of seconds and changes"
    LIMITS = "class, hard limit, soft limit, soft seconds"
    PERCENTILES = "percentages"
    SCORES = "three numbers from -2000 to 2000"
    EVENTS = "letters of event classes"
    RENAME = "a command's name and its new one"
    MASTER = "HOST PORT, HOST:PORT, or no one"
    THREADS = "a whole number or auto"
    STRIPES = "a power of two"


class Support(Enum):
    """What becomes of a directive."""

    SUPPORTED = "does what it says"
    INERT = "accepted and kept, without effect"
    REFUSED = "accepted only with the value that asks for nothing"


INT_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Directive:
    """One row. default: as redis.conf would say it; harmless: the one value a refused directive may have,
    None for none; listed: whether CONFIG GET and SET know it; protected: CONFIG SET needs
    enable-protected-configs.
    """

    name: str
    kind: Kind
    default: str
    help: str
    support: Support = Support.SUPPORTED
    unit: str = ""
    mutable: bool = True
    low: int = 0
    high: int = INT64_MAX
    choices: tuple[str, ...] = ()
    alias: str = ""
    sensitive: bool = False
    protected: bool = False
    listed: bool = True
    harmless: str | None = None
    reason: str = ""

    @property
    def allowed(self) -> str:
        """What its value may be, for messages."""
        kind = self.kind
        match kind:
            case Kind.CHOICE:
                return "one of " + ", ".join(self.choices)
            case Kind.INT:
                return f"a whole number from {self.low} to {self.high}"
            case Kind.THREADS:
                return f"auto, or a whole number from {self.low} to {self.high}"
            case Kind.STRIPES:
                return f"a power of two from {self.low} to {self.high}"
            case Kind.MEMORY if self.low:
                return f"{kind.value}, at least {self.low}"
        return str(kind.value)

    @property
    def many(self) -> bool:
        """Whether it takes several words."""
        return self.kind in (
            Kind.WORDS,
            Kind.SAVE,
            Kind.LIMITS,
            Kind.PERCENTILES,
            Kind.SCORES,
            Kind.RENAME,
            Kind.MASTER,
        )


def _inert(name: str, kind: Kind, default: str, help_: str, **more: object) -> Directive:
    return Directive(name, kind, default, help_, Support.INERT, **more)  # type: ignore[arg-type]


def _refused(name: str, kind: Kind, default: str, reason: str, **more: object) -> Directive:
    more = {"reason": reason, "mutable": False, **more}
    return Directive(name, kind, default, f"Not possible: {reason}.", Support.REFUSED, **more)  # type: ignore[arg-type]


B, I, M, C, T, W = Kind.BOOL, Kind.INT, Kind.MEMORY, Kind.CHOICE, Kind.TEXT, Kind.WORDS  # noqa: E741
D = Directive
SIGNALS = ("default", "save", "nosave", "now", "force")
POLICIES = ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu",
            "allkeys-random", "noeviction")  # fmt: skip

# fmt: off
_ROWS = (
    # --- network ---
    D("port", I, "6379", "TCP port; 0 lets the system choose one.", mutable=False, high=65535),
    D("bind", W, "127.0.0.1 -::1", "Addresses to listen on; a leading - makes one optional.", mutable=False),
    D("unixsocket", T, "", "Path of a Unix socket to listen on as well.", mutable=False),
    D("unixsocketperm", Kind.OCTAL, "0", "Permissions of the Unix socket.", mutable=False, high=0o777),
    D("tcp-backlog", I, "511", "Connections the system queues until they are accepted.", mutable=False,
      high=INT_MAX),
    D("tcp-keepalive", I, "300", "A silent peer is probed after so long; 0 never.", unit="seconds",
      high=INT_MAX),
    D("timeout", I, "0", "An idle client is disconnected after so long; 0 never.", unit="seconds",
      high=INT_MAX),
    D("maxclients", I, "1000", "Connections at one time.", low=1, high=2**32 - 1),
    D("protected-mode", B, "yes", "Without a password, serve this machine only."),
    D("proto-max-bulk-len", M, "512mb", "The longest string a client may send or build.", low=1 << 20),
    D("client-query-buffer-limit", M, "1gb", "Pending input a client may pile up.", low=1 << 20),
    D("http-port", I, "0", "Port of the HTTP API; 0 for none.", mutable=False, high=65535),
    D("http-bind", W, "127.0.0.1 -::1", "Addresses of the HTTP API; one beyond this machine needs a token.",
      mutable=False),
    D("http-token", T, "", "Token that the HTTP API asks for; without one it asks for requirepass.",
      sensitive=True),
    D("http-hosts", W, "", "Names by which the HTTP API may be called, beside localhost and addresses."),
    # --- the server ---
    D("databases", I, "16", "Databases to SELECT from.", mutable=False, low=1, high=INT_MAX),
    D("requirepass", T, "", "Password that clients must give.", sensitive=True),
    D("loglevel", C, "notice", "How much is logged.", choices=("debug", "verbose", "notice", "warning")),
    D("log-format", C, "redis", "Form of the log's lines; json and logfmt have an event a line.",
      mutable=False, choices=("redis", "json", "logfmt")),
    D("logfile", T, "", "Where the log goes; empty for standard error.", mutable=False),
    D("dir", T, "", "Directory of the data files.", protected=True),
    D("pidfile", T, "", "File that holds the process id while the server runs.", mutable=False),
    D("hz", I, "10", "How often background work looks for something to do.", unit="per second", high=INT_MAX),
    D("io-threads", Kind.THREADS, "auto", "Threads that serve clients; auto is half the cores, 1 to 8.",
      mutable=False, low=1, high=128),
    D("event-poller", C, "auto", "How threads wait for sockets; auto is epoll where there is one.",
      mutable=False, choices=("auto", "poll")),
    D("lock-stripes", Kind.STRIPES, "16", "Parts of a database that are locked apart.", mutable=False,
      low=1, high=64),
    D("slowlog-log-slower-than", I, "10000", "Commands that take as long are noted; -1 none.",
      unit="microseconds", low=-1, alias="commandlog-execution-slower-than"),
    D("slowlog-max-len", I, "128", "Entries the slow log keeps.", alias="commandlog-slow-execution-max-len"),
    D("commandlog-request-larger-than", I, "1048576",
      "Commands that come in as many bytes are noted; -1 none.", unit="bytes", low=-1),
    D("commandlog-large-request-max-len", I, "128", "Entries the log of large requests keeps."),
    D("commandlog-reply-larger-than", I, "1048576", "Commands whose replies are as large are noted; -1 none.",
      unit="bytes", low=-1),
    D("commandlog-large-reply-max-len", I, "128", "Entries the log of large replies keeps."),
    D("latency-monitor-threshold", I, "0", "Events this slow are kept for LATENCY; 0 none.",
      unit="milliseconds"),
    D("latency-tracking", B, "yes", "Whether the time of each command is gathered."),
    D("latency-tracking-info-percentiles", Kind.PERCENTILES, "50 99 99.9",
      "Percentiles INFO latencystats shows."),
    D("enable-debug-command", C, "no", "Who may use DEBUG.", mutable=False, choices=("no", "yes", "local")),
    D("enable-protected-configs", C, "no", "Who may set protected directives with CONFIG SET.", mutable=False,
      choices=("no", "yes", "local")),
    D("rename-command", Kind.RENAME, "", "Gives a command another name; an empty one takes it away.",
      mutable=False,
      listed=False),
    D("include", T, "", "Reads another file at this place.", mutable=False, listed=False),
    # --- memory ---
    D("maxmemory", M, "0", "Memory the data may take; 0 sets no limit.", high=2**64 - 1),
    D("maxmemory-policy", C, "noeviction", "Which keys go when memory is full.", choices=POLICIES),
    D("maxmemory-samples", I, "5", "Keys compared for one eviction, where keys are drawn.", low=1,
      high=INT_MAX),
    D("maxmemory-eviction-tenacity", I, "10",
      "How long one command may evict for; 100 until there is room.", high=100),
    D("lfu-log-factor", I, "10", "How slowly the counter of uses grows.", high=INT_MAX),
    D("lfu-decay-time", I, "1", "The counter of uses falls by one in so long.", unit="minutes", high=INT_MAX),
    D("lazyfree-lazy-eviction", B, "no", "Free evicted values in the background."),
    D("lazyfree-lazy-expire", B, "no", "Free expired values in the background."),
    D("lazyfree-lazy-server-del", B, "no", "Free overwritten values in the background."),
    D("lazyfree-lazy-user-del", B, "no", "DEL frees in the background, as UNLINK does."),
    D("lazyfree-lazy-user-flush", B, "no", "FLUSHALL and FLUSHDB free in the background unless told."),
    D("notify-keyspace-events", Kind.EVENTS, "", "Classes of keyspace events that are published."),
    # --- encodings ---
    D("hash-max-listpack-entries", I, "512", "Fields of a hash kept compact.",
      alias="hash-max-ziplist-entries"),
    D("hash-max-listpack-value", M, "64", "Longest value of a compact hash.", alias="hash-max-ziplist-value"),
    D("list-max-listpack-size", I, "-2", "Size of a list's node; negative for a size class.", low=-(2**31),
      high=INT_MAX,
      alias="list-max-ziplist-size"),
    D("list-compress-depth", I, "0", "Nodes at each end of a list left uncompressed; 0 for all.",
      high=INT_MAX),
    D("set-max-intset-entries", I, "512", "Members of a set of numbers kept compact."),
    D("set-max-listpack-entries", I, "128", "Members of a set kept compact."),
    D("set-max-listpack-value", M, "64", "Longest member of a compact set."),
    D("zset-max-listpack-entries", I, "128", "Members of a sorted set kept compact.",
      alias="zset-max-ziplist-entries"),
    D("zset-max-listpack-value", M, "64", "Longest member of a compact sorted set.",
      alias="zset-max-ziplist-value"),
    D("stream-node-max-bytes", M, "4096", "Size of a stream's node."),
    D("stream-node-max-entries", I, "100", "Entries of a stream's node."),
    # --- refused ---
    _refused("cluster-enabled", B, "no", "rlite has no cluster mode", harmless="no"),
    _refused("loadmodule", W, "", "rlite loads no modules", listed=False),
    _refused("user", W, "", "rlite has no users beside default; use requirepass", listed=False),
    _refused("aclfile", T, "", "rlite has no users beside default; use requirepass", harmless=""),
    _refused("tls-port", I, "0", "rlite does not speak TLS; put a TLS proxy in front", high=65535,
             harmless="0",
             mutable=True),
    # --- accepted: persistence ---
    _inert("daemonize", B, "no", "Whether to go to the background; rlite stays in front.",
           mutable=False),
    D("save", Kind.SAVE, "3600 1 300 100 60 10000", "When a snapshot is due."),
    D("appendonly", B, "no", "Whether changes are logged to disk."),
    D("appendfilename", Kind.NAME, "appendonly.aof", "Base name of the log's files.", mutable=False),
    D("appenddirname", Kind.NAME, "appendonlydir", "Directory of the log's files.", mutable=False),
    D("appendfsync", C, "everysec", "When the log reaches the disk.", choices=("everysec", "always",
           "no")),
    D("no-appendfsync-on-rewrite", B, "no", "Skip syncing while the log is rewritten."),
    D("auto-aof-rewrite-percentage", I, "100", "Growth after which the log is rewritten.", high=INT_MAX),
    D("auto-aof-rewrite-min-size", M, "64mb", "Smallest log that is rewritten."),
    D("aof-load-truncated", B, "yes", "Load a log whose end is missing."),
    _inert("aof-use-rdb-preamble", B, "yes", "Begin a rewritten log with a snapshot."),
    _inert("aof-timestamp-enabled", B, "no", "Note times in the log."),
    D("aof-disable-auto-gc", B, "no", "Keep log files that are no longer needed."),
    _inert("aof-rewrite-incremental-fsync", B, "yes", "Sync a log piece by piece as it is rewritten."),
    D("dbfilename", Kind.NAME, "dump.rdb", "Name of the snapshot.", protected=True),
    D("rdbcompression", B, "yes", "Compress strings in snapshots."),
    D("rdbchecksum", B, "yes", "End a snapshot with a checksum.", mutable=False),
    _inert("rdb-del-sync-files", B, "no", "Remove snapshots made for replicas."),
    D("rdb-save-incremental-fsync", B, "yes", "Sync a snapshot piece by piece."),
    _inert("sanitize-dump-payload", C, "no", "Check serialized values in depth.", choices=("no", "yes",
           "clients")),
    D("stop-writes-on-bgsave-error", B, "yes", "Refuse writes after a failed snapshot."),
    # --- replication ---
    D("replicaof", Kind.MASTER, "", "The server that this one is a replica of; no one for none.",
      mutable=False, alias="slaveof"),
    # --- accepted: replication ---
    D("masterauth", T, "", "Password that the master is given.", sensitive=True),
    D("masteruser", T, "", "User that the master is given the password of; empty for its default user."),
    D("replica-announce-ip", T, "", "Address that a replica gives its master as its own.",
      alias="slave-announce-ip"),
    D("replica-announce-port", I, "0", "Port that a replica gives its master; 0 for the one it listens on.",
      high=65535, alias="slave-announce-port"),
    D("replica-announced", B, "yes", "Whether Sentinel lists this replica."),
    D("replica-ignore-disk-write-errors", B, "no",
      "A replica goes on though its log takes no more; no: it waits for the disk."),
    D("replica-ignore-maxmemory", B, "yes", "A replica evicts nothing, which its master does.",
      alias="slave-ignore-maxmemory"),
    D("replica-lazy-flush", B, "no", "A replica frees the data it had in the background.",
      alias="slave-lazy-flush"),
    D("replica-priority", I, "100", "Rank in becoming master, the lowest first; 0 never.", high=INT_MAX,
      alias="slave-priority"),
    D("replica-read-only", B, "yes", "A replica refuses writes of clients.", alias="slave-read-only"),
    D("replica-serve-stale-data", B, "yes", "A replica answers while its link is down.",
      alias="slave-serve-stale-data"),
    D("min-replicas-to-write", I, "0", "Replicas needed for writes.", high=INT_MAX,
           alias="min-slaves-to-write"),
    D("min-replicas-max-lag", I, "10", "Lag at which a replica still counts.", unit="seconds",
           high=INT_MAX,
           alias="min-slaves-max-lag"),
    D("repl-backlog-size", M, "16mb", "Stream kept in memory for replicas that return.", low=1),
    D("repl-backlog-ttl", I, "3600", "How long history is kept without replicas.", unit="seconds"),
    _inert("repl-disable-tcp-nodelay", B, "no", "Fewer, larger packets to replicas."),
    _inert("repl-diskless-load", C, "disabled",
           "Where data from the link are put; rlite's go into a file, and are loaded beside the old ones.",
           choices=("disabled", "on-empty-db", "swapdb")),
    D("repl-diskless-sync", B, "yes", "Send snapshots without a file."),
    D("repl-diskless-sync-delay", I, "5", "Wait for more replicas before a snapshot.", unit="seconds",
           high=INT_MAX),
    D("repl-diskless-sync-max-replicas", I, "0", "Replicas after which the wait ends.", high=INT_MAX),
    D("repl-ping-replica-period", I, "10", "How often replicas are pinged.", unit="seconds", low=1,
           high=INT_MAX,
           alias="repl-ping-slave-period"),
    D("repl-timeout", I, "60", "A link that says nothing for so long is dropped.", unit="seconds", low=1,
      high=INT_MAX),
    D("propagation-error-behavior", C, "ignore",
      "What a replica does when a command of its master fails: go on, or (panic) have all data sent anew.",
      choices=("ignore", "panic", "panic-on-replicas")),
    # --- accepted: the rest ---
    _inert("acl-pubsub-default", C, "resetchannels", "Channels of a new user.", choices=("allchannels",
           "resetchannels")),
    _inert("acllog-max-len", I, "128", "Entries of the log of refusals."),
    _inert("active-defrag-cycle-max", I, "25", "Most CPU for defragmentation.", unit="percent", low=1,
           high=99),
    _inert("active-defrag-cycle-min", I, "1", "Least CPU for defragmentation.", unit="percent", low=1,
           high=99),
    _inert("active-defrag-ignore-bytes", M, "100mb", "Waste that is left alone.", low=1),
    _inert("active-defrag-max-scan-fields", I, "1000", "Fields looked at in one step.", low=1),
    _inert("active-defrag-threshold-lower", I, "10", "Waste at which it begins.", unit="percent", high=1000),
    _inert("active-defrag-threshold-upper", I, "100", "Waste at which it works hardest.", unit="percent",
           high=1000),
    _inert("activedefrag", B, "no", "Move values to give memory back."),
    _inert("active-expire-effort", I, "1",
           "How hard to look for expired keys; rlite removes each in time anyway.", low=1,
           high=10),
    _inert("activerehashing", B, "yes", "Resize tables in idle time; rlite always does."),
    _inert("always-show-logo", B, "no", "Print a logo at start.", mutable=False),
    D("bind-source-addr", T, "", "Address that outgoing connections come from."),
    _inert("server_cpulist", T, "", "CPUs of the server.", mutable=False, alias="server-cpulist"),
    _inert("bio_cpulist", T, "", "CPUs of background threads.", mutable=False, alias="bio-cpulist"),
    _inert("aof_rewrite_cpulist", T, "", "CPUs of log rewrites.", mutable=False, alias="aof-rewrite-cpulist"),
    _inert("bgsave_cpulist", T, "", "CPUs of snapshots.", mutable=False, alias="bgsave-cpulist"),
    D("script-memory-limit", M, "256mb", "What Lua scripts may take in all; beyond it a script fails.",
      low=4 << 20),
    D("busy-reply-threshold", I, "5000", "A script this slow makes others hear BUSY.", unit="milliseconds",
      alias="lua-time-limit"),
    D("client-output-buffer-limit", Kind.LIMITS,
           "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
      "Replies a slow client may pile up; the hard limit of listeners is kept."),
    _inert("crash-log-enabled", B, "yes", "Log a trace on a crash."),
    _inert("crash-memcheck-enabled", B, "yes", "Test memory after a crash."),
    _inert("disable-thp", B, "yes", "Ask for no huge pages.", mutable=False),
    _inert("dynamic-hz", B, "yes", "More background work with more clients."),
    _inert("enable-module-command", C, "no", "Who may use MODULE.", mutable=False, choices=("no", "yes",
           "local")),
    D("hll-sparse-max-bytes", M, "3000", "Largest sparse HyperLogLog."),
    _inert("ignore-warnings", T, "", "Start-up warnings to leave out."),
    _inert("io-threads-do-reads", B, "no", "I/O threads read as well; rlite's always do.", mutable=False),
    _inert("jemalloc-bg-thread", B, "yes", "Let the allocator tidy up in the background."),
    _inert("locale-collate", T, "", "Locale for comparing strings."),
    _inert("max-new-connections-per-cycle", I, "10", "Connections accepted in one turn.", low=1, high=1000),
    _inert("max-new-tls-connections-per-cycle", I, "1", "TLS connections accepted in one turn.", low=1,
           high=1000),
    _inert("maxmemory-clients", Kind.PERCENT, "0", "Memory all clients may take."),
    _inert("oom-score-adj", C, "no", "Tell the kernel whom to end first.",
           choices=("no", "yes", "relative", "absolute")),
    _inert("oom-score-adj-values", Kind.SCORES, "0 200 800", "Scores for primary, replica and child."),
    _inert("proc-title-template", T, "{title} {listen-addr} {server-mode}", "What ps shows."),
    _inert("set-proc-title", B, "yes", "Whether ps shows what the server does.", mutable=False),
    D("shutdown-on-sigint", C, "default", "What SIGINT does.", choices=SIGNALS),
    D("shutdown-on-sigterm", C, "default", "What SIGTERM does.", choices=SIGNALS),
    _inert("shutdown-timeout", I, "10", "How long to wait for replicas.", unit="seconds", high=INT_MAX),
    _inert("socket-mark-id", I, "0", "Mark of the sockets.", mutable=False, high=2**32 - 1),
    _inert("supervised", C, "no", "Which supervisor is told of the start.", mutable=False,
           choices=("no", "upstart", "systemd", "auto")),
    _inert("syslog-enabled", B, "no", "Log to syslog.", mutable=False),
    _inert("syslog-facility", C, "local0", "Facility of syslog.", mutable=False,
           choices=("user", *(f"local{i}" for i in range(8)))),
    _inert("syslog-ident", T, "redis", "Name in syslog.", mutable=False),
    _inert("tracking-table-max-keys", I, "1000000", "Keys tracked for client-side caches."),
    # --- accepted: cluster and TLS, which are off ---
    _inert("cluster-allow-pubsubshard-when-down", B, "yes", "Sharded messages while the cluster is down."),
    _inert("cluster-allow-reads-when-down", B, "no", "Reads while the cluster is down."),
    _inert("cluster-allow-replica-migration", B, "yes", "Replicas move to primaries without one."),
    _inert("cluster-announce-bus-port", I, "0", "Announced bus port.", high=65535),
    _inert("cluster-announce-hostname", T, "", "Announced host name."),
    _inert("cluster-announce-human-nodename", T, "", "Announced node name."),
    _inert("cluster-announce-ip", T, "", "Announced address."),
    _inert("cluster-announce-port", I, "0", "Announced port.", high=65535),
    _inert("cluster-announce-tls-port", I, "0", "Announced TLS port.", high=65535),
    _inert("cluster-config-file", T, "nodes.conf", "File of the cluster's state.", mutable=False),
    _inert("cluster-link-sendbuf-limit", M, "0", "Pending output of a cluster link."),
    _inert("cluster-migration-barrier", I, "1", "Replicas a primary keeps.", high=INT_MAX),
    _inert("cluster-node-timeout", I, "15000", "A silent node is given up after so long.",
           unit="milliseconds"),
    _inert("cluster-port", I, "0", "Bus port.", mutable=False, high=65535),
    _inert("cluster-preferred-endpoint-type", C, "ip", "How nodes are named.",
           choices=("ip", "hostname", "unknown-endpoint")),
    _inert("cluster-replica-no-failover", B, "no", "A replica never takes over.",
           alias="cluster-slave-no-failover"),
    _inert("cluster-replica-validity-factor", I, "10", "How stale a replica may be to take over.",
           high=INT_MAX,
           alias="cluster-slave-validity-factor"),
    _inert("cluster-require-full-coverage", B, "yes", "All slots or no service."),
    _inert("tls-auth-clients", C, "yes", "Whether clients show a certificate.", choices=("no", "yes",
           "optional")),
    *(_inert(f"tls-{name}", T, "", "For TLS, which is off.", sensitive=name.endswith("-pass")) for name in (
        "ca-cert-dir", "ca-cert-file", "cert-file", "ciphers", "ciphersuites", "client-cert-file",
        "client-key-file",
        "client-key-file-pass", "dh-params-file", "key-file", "key-file-pass", "protocols")),
    *(_inert(f"tls-{name}", B, default, "For TLS, which is off.") for name, default in (
        ("cluster", "no"), ("prefer-server-ciphers", "no"), ("replication", "no"),
        ("session-caching", "yes"))),
    _inert("tls-session-cache-size", I, "20480", "For TLS, which is off.", high=INT_MAX),
    _inert("tls-session-cache-timeout", I, "300", "For TLS, which is off.", high=INT_MAX),
)
# fmt: on

DIRECTIVES: dict[str, Directive] = {row.name: row for row in _ROWS}
# By every name a file or a client may use; an alias's row knows its proper name.
BY_NAME: dict[str, Directive] = {**DIRECTIVES, **{row.alias: row for row in _ROWS if row.alias}}
