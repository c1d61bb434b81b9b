"""Every error a client can see, each text once. May be imported by all; imports nothing.

The texts are those of Redis 7.4, to the letter: clients match on them. Where a text names something, it holds
one or more `%s`.
"""

# --- arguments ---
SYNTAX = "ERR syntax error"
WRONG_ARITY = "ERR wrong number of arguments for '%s' command"
UNKNOWN_COMMAND = "ERR unknown command '%s', with args beginning with: %s"
UNKNOWN_SUBCOMMAND = "ERR unknown subcommand '%s'. Try %s HELP."
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_FLOAT = "ERR value is not a valid float"
OUT_OF_RANGE = "ERR value is out of range"
OUT_OF_INT = "ERR value is out of range, value must between -2147483648 and 2147483647"
MUST_BE_POSITIVE = "ERR value is out of range, must be positive"
OFFSET_OUT_OF_RANGE = "ERR offset is out of range"
INVALID_CURSOR = "ERR invalid cursor"
INVALID_DB_INDEX = "ERR invalid DB index"
INVALID_FIRST_DB_INDEX = "ERR invalid first DB index"
INVALID_SECOND_DB_INDEX = "ERR invalid second DB index"
DB_OUT_OF_RANGE = "ERR DB index is out of range"
SUBCOMMAND_SYNTAX = "ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP."
UNSUPPORTED_OPTION = "ERR Unsupported option %s"
TIMEOUT_NOT_AN_INTEGER = "ERR timeout is not an integer or out of range"
TIMEOUT_NEGATIVE = "ERR timeout is negative"

# --- what is on disk ---
REWRITE_IN_PROGRESS = "ERR Background append only file rewriting already in progress"
REWRITE_FAILED = (
    "ERR Can't execute an AOF background rewriting. Please check the server logs for more information."
)
REWRITE_WITHOUT_LOG = "ERR there is no append only file to rewrite: appendonly is no"
LOG_WRITE_ERROR = "MISCONF Errors writing to the AOF file: %s"

# --- starting ---
LOADING = "LOADING Redis is loading the dataset in memory"

# --- keys and values ---
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NO_SUCH_KEY = "ERR no such key"
SAME_OBJECT = "ERR source and destination objects are the same"
BUSY_KEY = "BUSYKEY Target key name already exists."
OVERFLOW = "ERR increment or decrement would overflow"
DECR_OVERFLOW = "ERR decrement would overflow"
NOT_FINITE = "ERR value is NaN or Infinity"
NAN_OR_INFINITY = "ERR increment would produce NaN or Infinity"
STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
INVALID_EXPIRE = "ERR invalid expire time in '%s' command"
EXPIRE_NX_WITH_OTHERS = "ERR NX and XX, GT or LT options at the same time are not compatible"
EXPIRE_GT_WITH_LT = "ERR GT and LT options at the same time are not compatible"
BAD_PAYLOAD = "ERR DUMP payload version or checksum are wrong"
BAD_FORMAT = "ERR Bad data format"
TYPE_NOT_SUPPORTED = "ERR the payload holds %s, which rlite does not read"
INVALID_TTL = "ERR Invalid TTL value, must be >= 0"
INVALID_IDLETIME = "ERR Invalid IDLETIME value, must be >= 0"
INVALID_FREQ = "ERR Invalid FREQ value, must be >= 0 and <= 255"

# --- lists, hashes, sets, sorted sets ---
HASH_NOT_AN_INTEGER = "ERR hash value is not an integer"
HASH_NOT_A_FLOAT = "ERR hash value is not a float"
HASH_FIELDS = "ERR Mandatory argument FIELDS is missing or not at the right position"
HASH_FIELD_COUNT = "ERR Parameter `numFields` should be greater than 0"
HASH_FIELD_MISMATCH = "ERR The `numfields` parameter must match the number of arguments"
HASH_EXPIRE_BOTH = "ERR Multiple condition flags specified"
INDEX_OUT_OF_RANGE = "ERR index out of range"
LPOS_RANK = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to "
    "start from the end of the list"
)
LPOS_RANK_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
LPOS_COUNT = "ERR COUNT can't be negative"
LPOS_MAXLEN = "ERR MAXLEN can't be negative"
NUMKEYS_POSITIVE = "ERR numkeys should be greater than 0"
NUMKEYS_TOO_MANY = "ERR Number of keys can't be greater than number of args"
COUNT_POSITIVE = "ERR count should be greater than 0"
LIMIT_IS_NEGATIVE = "ERR LIMIT can't be negative"
TIMEOUT_OUT_OF_RANGE = "ERR timeout is out of range"
TIMEOUT_NOT_A_FLOAT = "ERR timeout is not a float or out of range"
ZADD_NX_XX = "ERR XX and NX options at the same time are not compatible"
ZADD_GT_LT_NX = "ERR GT, LT, and/or NX options at the same time are not compatible"
ZADD_INCR_PAIRS = "ERR INCR option supports a single increment-element pair"
SCORE_NAN = "ERR resulting score is not a number (NaN)"
MIN_MAX_FLOAT = "ERR min or max is not a float"
MIN_MAX_LEX = "ERR min or max not valid string range item"
ZRANGE_LIMIT = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
ZRANGE_WITHSCORES = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"
AT_LEAST_ONE_KEY = "ERR at least 1 input key is needed for '%s' command"
WEIGHT_NOT_A_FLOAT = "ERR weight value is not a float"

# --- streams ---
STREAM_ID = "ERR Invalid stream ID specified as stream command argument"
STREAM_ID_SMALLER = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
STREAM_ID_ZERO = "ERR The ID specified in XADD must be greater than 0-0"
STREAM_ID_LAST = "ERR The stream has exhausted the last possible ID, unable to add more items"
LIMIT_WITHOUT_APPROX = "ERR syntax error, LIMIT cannot be used without the special ~ option"
LIMIT_WITHOUT_STRATEGY = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
TRIM_TWICE = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"
MAXLEN_NEGATIVE = "ERR The MAXLEN argument must be >= 0."
LIMIT_NEGATIVE = "ERR The LIMIT argument must be >= 0."
XADD_ARITY = "ERR wrong number of arguments for 'xadd' command"
XTRIM_WITHOUT_STRATEGY = "ERR syntax error, XTRIM must be called with MAXLEN or MINID"
XREAD_UNBALANCED = "ERR Unbalanced '%s' list of streams: for each stream key an ID%s must be specified."
BLOCK_IN_SCRIPT = "ERR %s command is not allowed with BLOCK option from scripts"
XREAD_GROUP_ID = (
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
)
XREADGROUP_DOLLAR = (
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this "
    "consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return "
    "an empty result set."
)
XREADGROUP_PLUS = (
    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this "
    "consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return "
    "an empty result set."
)
XREADGROUP_WITHOUT_GROUP = "ERR Missing GROUP option for XREADGROUP"
XREAD_WITH_GROUP = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."
XREAD_NOACK = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."
NO_GROUP = "NOGROUP No such consumer group '%s' for key name '%s'"
NO_GROUP_OR_KEY = "NOGROUP No such key '%s' or consumer group '%s'"
NO_GROUP_XREADGROUP = "NOGROUP No such key '%s' or consumer group '%s' in XREADGROUP with GROUP option"
GROUP_GONE = "NOGROUP the consumer group this client was blocked on no longer exists"
STREAM_GONE = "UNBLOCKED the stream key no longer exists"
BUSY_GROUP = "BUSYGROUP Consumer Group name already exists"
XGROUP_NO_KEY = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
    "MKSTREAM option to create an empty stream automatically."
)
ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1"
XSETID_SMALLER = "ERR The ID specified in XSETID is smaller than the target stream top item"
XSETID_ADDED_SMALLER = "ERR The entries_added specified in XSETID is smaller than the target stream length"
XSETID_DELETED = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
XSETID_DELETED_TOP = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
XSETID_ADDED = "ERR entries_added must be positive"
START_GREATER = "ERR start ID must be less than or equal to the end ID"
INVALID_START = "ERR invalid start ID for the interval"
INVALID_END = "ERR invalid end ID for the interval"
XCLAIM_IDLE = "ERR Invalid min-idle-time argument for XCLAIM"
XAUTOCLAIM_IDLE = "ERR Invalid min-idle-time argument for XAUTOCLAIM"
XCLAIM_OPTION = "ERR Unrecognized XCLAIM option '%s'"
XCLAIM_OPTION_IDLE = "ERR Invalid IDLE option argument for XCLAIM"
XCLAIM_OPTION_TIME = "ERR Invalid TIME option argument for XCLAIM"
XCLAIM_OPTION_RETRY = "ERR Invalid RETRYCOUNT option argument for XCLAIM"
XAUTOCLAIM_COUNT = "ERR COUNT must be > 0"

# --- bits ---
BIT_OFFSET = "ERR bit offset is not an integer or out of range"
BIT_VALUE = "ERR bit is not an integer or out of range"
BIT_ARGUMENT = "ERR The bit argument must be 1 or 0."
BITFIELD_TYPE = (
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
BITFIELD_OVERFLOW = "ERR Invalid OVERFLOW type specified"
BITFIELD_READ_ONLY = "ERR BITFIELD_RO only supports the GET subcommand"
BITOP_NOT = "ERR BITOP NOT must be called with a single source key."

SORT_NOT_A_DOUBLE = "ERR One or more scores can't be converted into double"

# --- places ---
GEO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI"
GEO_PAIR = "ERR invalid longitude,latitude pair %s,%s"
GEO_NO_MEMBER = "ERR could not decode requested zset member"
GEO_RADIUS = "ERR need numeric radius"
GEO_RADIUS_NEGATIVE = "ERR radius cannot be negative"
GEO_WIDTH = "ERR need numeric width"
GEO_HEIGHT = "ERR need numeric height"
GEO_BOX_NEGATIVE = "ERR height or width cannot be negative"
GEO_COUNT = "ERR COUNT must be > 0"
GEO_ANY = "ERR the ANY argument requires COUNT argument"
GEO_FROM = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %s"
GEO_BY = "ERR exactly one of BYRADIUS and BYBOX can be specified for %s"
GEO_OLD_STORE = "STORE option in GEORADIUS"  # what the next text calls it
GEO_STORE_WITH = "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options"

# --- HyperLogLog ---
NOT_A_HYPERLOGLOG = "WRONGTYPE Key is not a valid HyperLogLog string value."
CORRUPT_HYPERLOGLOG = "INVALIDOBJ Corrupted HLL object detected"
NO_SUCH_PFDEBUG_KEY = "ERR The specified key does not exist"
HYPERLOGLOG_IS_DENSE = "ERR HLL encoding is not sparse"
UNKNOWN_PFDEBUG = "ERR Unknown PFDEBUG subcommand '%s'"
PFSELFTEST = "TESTFAILED %s"

# --- replication ---
NOT_FOR_EMBEDDED = "ERR this server has no sockets, and so no replicas"
NO_MASTER_LINK = "NOMASTERLINK Can't SYNC while not connected with my master"
NO_REPLICAS = "NOREPLICAS Not enough good replicas to write."
REPLCONF_ADDRESS = "ERR REPLCONF ip-address provided by replica instance is too long: %s bytes"
REPLCONF_UNKNOWN = "ERR Unrecognized REPLCONF option: %s"
REPLCONF_FILTER = "ERR Unsupported rdb-filter-only option: rlite sends all data"
FAILOVER_UNDER_WAY = "ERR FAILOVER already in progress."
FAILOVER_ON_REPLICA = "ERR FAILOVER is not valid when server is a replica."
FAILOVER_WITHOUT_REPLICAS = "ERR FAILOVER requires connected replicas."
FAILOVER_UNKNOWN_TARGET = "ERR FAILOVER target HOST and PORT is not a replica."
FAILOVER_TARGET_OFFLINE = "ERR FAILOVER target replica is not online."
FAILOVER_TIMEOUT = "ERR FAILOVER timeout must be greater than 0"
FAILOVER_FORCE = "ERR FAILOVER with force option requires both a timeout and target HOST and IP."
NO_FAILOVER = "ERR No failover in progress."
REPLICAOF_IN_FAILOVER = "ERR REPLICAOF not allowed while failing over."
SYNC_IN_FAILOVER = "NOMASTERLINK Can't SYNC while failing over"
TAKE_OVER_FROM_MASTER = "ERR PSYNC FAILOVER can't be sent to a master."
TAKE_OVER_OTHER_HISTORY = "ERR PSYNC FAILOVER replid must match my replid."
REPLICA_TOUCHES_KEYS = "ERR Replica can't interact with the keyspace"
WAIT_ON_REPLICA = (
    "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is "
    "configured to be writable (which is not the default) writes to replicas are just local and are not "
    "propagated."
)
WAITAOF_ON_REPLICA = (
    "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just "
    "local and are not propagated."
)

# --- waiting for replicas and the log ---
NUMLOCAL = "ERR value is out of range, value must between 0 and 1"
WAITAOF_WITHOUT_LOG = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."

# --- MIGRATE ---
MIGRATE_KEYS = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"
MIGRATE_IO = "IOERR error or timeout %s target instance"
MIGRATE_REFUSED = "ERR Target instance replied with error: %s"

# --- DEBUG ---
DEBUG_DATABASE = "ERR Out of range database"
DEBUG_NO_TABLE = "ERR The value stored at the specified key is not represented using an hash table"
DEBUG_NO_LISTPACK = "ERR Not a listpack encoded object."
DEBUG_RELOAD_OPTIONS = "ERR DEBUG RELOAD only supports the NOFLUSH and NOSAVE options."
DEBUG_RELOAD = "ERR Error trying to load the RDB dump, check server logs: %s"

# --- LCS ---
LCS_NOT_STRINGS = "ERR The specified keys must contain string values"
LCS_TOO_LARGE = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
LCS_BOTH = "ERR If you want both the length and indexes, please just use IDX."

# --- OBJECT ---
IDLE_UNDER_LFU = (
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching "
    "between policies at runtime LRU and LFU data will take some time to adjust."
)
FREQ_WITHOUT_LFU = (
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
    "switching between policies at runtime LRU and LFU data will take some time to adjust."
)

# --- connections ---
NO_AUTH = "NOAUTH Authentication required."
NO_AUTH_HELLO = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
    "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
    "the same time"
)
WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled."
NO_PASSWORD_SET = (
    "ERR AUTH <password> called without any password configured for the default user. Are you sure "
    "your configuration is correct?"
)
NO_PROTO = "NOPROTO unsupported protocol version"
PROTO_NOT_AN_INTEGER = "ERR Protocol version is not an integer or out of range"
HELLO_SYNTAX = "ERR Syntax error in HELLO option '%s'"
CLIENT_NAME = "ERR Client names cannot contain spaces, newlines or special characters."
CLIENT_INFO_VALUE = "ERR %s cannot contain spaces, newlines or special characters."
CLIENT_INFO_OPTION = "ERR Unrecognized option '%s'"
NO_SUCH_CLIENT = "ERR No such client"
INVALID_CLIENT_ID = "ERR Invalid client ID"
CLIENT_ID_POSITIVE = "ERR client-id should be greater than 0"
UNKNOWN_CLIENT_TYPE = "ERR Unknown client type '%s'"
NO_SUCH_USER = "ERR No such user '%s'"
MAX_CLIENTS = "ERR max number of clients reached"
UNBLOCK_REASON = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
MAXAGE_NOT_AN_INTEGER = "ERR maxage is not an integer or out of range"
MAXAGE_POSITIVE = "ERR maxage should be greater than 0"
NOT_PAUSED_MODE = "ERR CLIENT PAUSE mode must be WRITE or ALL"
PROTECTED = (
    "DENIED rlite runs in protected mode: with no password set it answers only connections from this "
    "machine. "
    "To reach it from elsewhere set requirepass, or bind it to a trusted network and set protected-mode no."
)

SUBSCRIBE_IN_PROCESS = "ERR a client in process cannot listen: subscribe over a connection"
SUBSCRIBER_MODE = (
    "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
    "are allowed in this context"
)
UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK"

# --- scripts ---
NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL."
NUMKEYS_NEGATIVE = "ERR Number of keys can't be negative"
SHEBANG_INVALID = "ERR Invalid script shebang"
SHEBANG_ENGINE = "ERR Unexpected engine in script shebang: %s"
SHEBANG_OPTION = "ERR Unknown lua shebang option: %s"
SHEBANG_FLAG = "ERR Unexpected flag in script shebang: %s"
SCRIPT_WITHOUT_ALLOW_OOM = (
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
)
SCRIPT_UNKNOWN_COMMAND = "ERR Unknown Redis command called from script"
SCRIPT_WRONG_ARITY = "ERR Wrong number of args calling Redis command from script"
SCRIPT_NOT_ALLOWED = "ERR This Redis command is not allowed from script"
SCRIPT_READ_ONLY = "ERR Write commands are not allowed from read-only scripts."
SCRIPT_FLUSH_SYNTAX = "ERR SCRIPT FLUSH only support SYNC|ASYNC option"
NO_SCRIPT_DEBUGGER = "ERR rlite has no debugger for scripts; SCRIPT DEBUG NO is all it takes"
BUSY_SCRIPT = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
NOT_BUSY = "NOTBUSY No scripts in execution right now."
UNKILLABLE = (
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait "
    "the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
)

# --- transactions ---
NESTED_MULTI = "ERR MULTI calls can not be nested"
EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI"
DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI"
WATCH_IN_MULTI = "ERR WATCH inside MULTI is not allowed"
EXEC_ABORT = "EXECABORT Transaction discarded because of previous errors."
EXEC_ABORT_BECAUSE = "EXECABORT Transaction discarded because of: %s"
NOT_IN_MULTI = "ERR Command not allowed inside a transaction"

# --- replication ---
MASTER_PORT = "ERR Invalid master port"
READ_ONLY = "READONLY You can't write against a read only replica."
MASTER_DOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
ROLE_CHANGED = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
SCRIPT_READ_ONLY_REPLICA = "READONLY Can not run script with write flag on readonly replica."
SCRIPT_MASTER_DOWN = (
    "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is "
    "not set on the script."
)
SCRIPT_STALE_COMMAND = "ERR Can not execute the command on a stale replica"

# --- the server ---
OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'."
SHUTDOWN_ERRORS = "ERR Errors trying to SHUTDOWN. Check logs."
SAVE_ERROR = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
    "Commands that may modify the data set are disabled, because this instance is configured to report "
    "errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the "
    "Redis logs for details about the RDB error."
)
ALREADY_SAVING = "ERR Background save already in progress"
CHILD_IS_ACTIVE = (
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
    "schedule a BGSAVE whenever possible."
)
NOT_SAVED = "ERR could not save: %s"
NO_SNAPSHOTS = "ERR this server keeps no snapshots"
NO_SHUTDOWN = "ERR No shutdown in progress."
DEBUG_DISABLED = (
    'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run '
    "it from a local connection, otherwise you need to set this option in the configuration file, and "
    "then restart the server."
)
COMMANDLOG_TYPE = "ERR type should be one of the following: slow, large-request, large-reply"
LATENCY_NO_SAMPLES = "ERR No samples available for event '%s'"
SLOWLOG_COUNT = "ERR count should be greater than or equal to -1"
INTERNAL = "ERR internal error; the server's log has the details"
HTTP_NEEDS_CONNECTION = "ERR %s is about the connection it comes in on, and HTTP has none that lasts"
HTTP_BLOCKS = "ERR %s may wait, and cannot be used over HTTP"
HTTP_PAUSED = "PAUSED the server does not take this command for now (CLIENT PAUSE, or a long script)"
UNKNOWN_COMMAND_NAME = "ERR Invalid command specified"
NO_KEY_ARGUMENTS = "ERR The command has no key arguments"
BAD_ARGUMENT_COUNT = "ERR Invalid number of arguments specified for command"
INVALID_KEY_ARGUMENTS = "ERR Invalid arguments specified for command"

# --- CONFIG ---
CONFIG_UNKNOWN = "ERR Unknown option or number of arguments for CONFIG SET - '%s'"
CONFIG_SET_FAILED = "ERR CONFIG SET failed (possibly related to argument '%s') - %s"
CONFIG_REWRITE_FAILED = "ERR Rewriting config file: %s"
CONFIG_NO_FILE = "ERR The server is running without a config file"
# What follows the dash of CONFIG_SET_FAILED; a configuration file's errors say the same.
CONFIG_IMMUTABLE = "can't set immutable config"
CONFIG_PROTECTED = "can't set protected config"
CONFIG_DUPLICATE = "duplicate parameter"
CONFIG_NOT_BOOL = "argument must be 'yes' or 'no'"
CONFIG_NOT_INTEGER = "argument couldn't be parsed into an integer"
CONFIG_NOT_OCTAL = "argument couldn't be parsed as an octal number"
CONFIG_NOT_A_NAME = "%s can't be a path, just a filename"
CONFIG_NOT_MEMORY = "argument must be a memory value"
CONFIG_NOT_PERCENT = "argument must be a memory or percent value"
CONFIG_PERCENT_RANGE = "percentage argument must be less or equal to 100"
CONFIG_RANGE = "argument must be between %s and %s inclusive"
CONFIG_CHOICE = "argument(s) must be one of the following: %s"
CONFIG_WORD_COUNT = "wrong number of arguments"
CONFIG_SAVE = "Invalid save parameters"
CONFIG_LIMIT_COUNT = "Wrong number of arguments in buffer limit configuration."
CONFIG_LIMIT_CLASS = "Invalid client class specified in buffer limit configuration."
CONFIG_LIMIT_VALUE = "Error in hard, soft or soft_seconds setting in buffer limit configuration."
CONFIG_PERCENTILES = "Invalid latency-tracking-info-percentiles parameters"
CONFIG_PERCENTILE_RANGE = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
CONFIG_SCORES = "Invalid oom-score-adj-values, elements must be between -2000 and 2000."
CONFIG_POWER_OF_TWO = "argument must be a power of two between %s and %s"
CONFIG_EVENTS = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
CONFIG_NO_DIR = "No such file or directory"

# --- the protocol ---
INVALID_MULTIBULK_LENGTH = "ERR Protocol error: invalid multibulk length"
TOO_BIG_MULTIBULK_STRING = "ERR Protocol error: too big mbulk count string"
INVALID_BULK_LENGTH = "ERR Protocol error: invalid bulk length"
TOO_BIG_BULK_STRING = "ERR Protocol error: too big bulk count string"
EXPECTED_DOLLAR = "ERR Protocol error: expected '$', got '%s'"
TOO_BIG_INLINE = "ERR Protocol error: too big inline request"
UNAUTH_MULTIBULK_LENGTH = "ERR Protocol error: unauthenticated multibulk length"
UNAUTH_BULK_LENGTH = "ERR Protocol error: unauthenticated bulk length"
UNBALANCED_QUOTES = "ERR Protocol error: unbalanced quotes in request"


class CommandError(Exception):
    """A command's refusal; `text` is what the client is told."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class RliteError(Exception):
    """A fault that a user caused outside a command: the message says what, where, and what is allowed."""


def printable(raw: bytes, limit: int = 128) -> str:
    """Bytes from a client inside an error text: cut, at a NUL as in C, and without line ends.

    A line end would end the reply early.
    """
    return (
        raw[:limit]
        .partition(b"\0")[0]
        .decode("utf-8", "surrogateescape")
        .replace("\r", " ")
        .replace("\n", " ")
    )
