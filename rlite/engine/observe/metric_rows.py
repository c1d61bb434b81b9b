"""The table of metrics that are one field of INFO each: named, typed and labelled as redis_exporter does, so
that dashboards and alerts made for it work unread.

Rows only. That some of its gauges end in `_total` and some of its counters do not is kept: dashboards ask for
them by these names.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a metric is declared."""

    GAUGE = "gauge"
    COUNTER = "counter"
    UNTYPED = "unknown"  # a counter whose name does not end in _total, which no format can call one


@dataclass(frozen=True, slots=True)
class Row:
    """name: without `redis_`; field: of a section of INFO; scale: what its number is multiplied by."""

    name: str
    kind: Kind
    section: str
    field: str
    help: str
    scale: float = 1


G, C, U = Kind.GAUGE, Kind.COUNTER, Kind.UNTYPED

# fmt: off
ROWS = (
    # --- Server ---
    Row("uptime_in_seconds", G, "Server", "uptime_in_seconds", "Seconds since the start."),
    Row("process_id", G, "Server", "process_id", "Process id of the server."),
    Row("io_threads_active", G, "Server", "io_threads_active", "Whether several threads serve clients."),
    # --- Clients ---
    Row("connected_clients", G, "Clients", "connected_clients", "Connections of clients."),
    Row("blocked_clients", G, "Clients", "blocked_clients", "Clients that wait in a blocking command."),
    Row("max_clients", G, "Clients", "maxclients", "Connections allowed at one time."),
    Row("tracking_clients", G, "Clients", "tracking_clients", "Clients that track keys."),
    Row("pubsub_clients", G, "Clients", "pubsub_clients", "Clients that listen to channels."),
    Row("watching_clients", G, "Clients", "watching_clients", "Clients that watch keys."),
    Row("clients_in_timeout_table", G, "Clients", "clients_in_timeout_table", "Clients with a time limit."),
    Row("total_watched_keys", G, "Clients", "total_watched_keys", "Keys that clients watch."),
    Row("total_blocking_keys", G, "Clients", "total_blocking_keys", "Keys that clients block on."),
    Row("total_blocking_keys_on_nokey", G, "Clients", "total_blocking_keys_on_nokey",
        "Keys that clients block on until they are deleted."),
    Row("client_recent_max_input_buffer_bytes", G, "Clients", "client_recent_max_input_buffer",
        "Largest pending input of a client."),
    Row("client_recent_max_output_buffer_bytes", G, "Clients", "client_recent_max_output_buffer",
        "Largest pending output of a client."),
    # --- Memory ---
    Row("memory_used_bytes", G, "Memory", "used_memory", "Memory the data takes, and what serves it."),
    Row("memory_used_rss_bytes", G, "Memory", "used_memory_rss", "Resident memory of the process."),
    Row("memory_used_peak_bytes", G, "Memory", "used_memory_peak", "Most memory used so far."),
    Row("memory_used_overhead_bytes", G, "Memory", "used_memory_overhead", "Memory used beside the data."),
    Row("memory_used_startup_bytes", G, "Memory", "used_memory_startup", "Memory used at the start."),
    Row("memory_used_dataset_bytes", G, "Memory", "used_memory_dataset", "Memory the data itself takes."),
    Row("memory_used_lua_bytes", G, "Memory", "used_memory_lua", "Memory Lua takes."),
    Row("memory_used_vm_eval_bytes", G, "Memory", "used_memory_vm_eval", "Memory the VM of scripts takes."),
    Row("memory_used_scripts_eval_bytes", G, "Memory", "used_memory_scripts_eval",
        "Memory the texts of scripts take."),
    Row("memory_used_vm_functions_bytes", G, "Memory", "used_memory_vm_functions",
        "Memory the VM of functions takes."),
    Row("memory_used_functions_bytes", G, "Memory", "used_memory_functions", "Memory functions take."),
    Row("memory_used_scripts_bytes", G, "Memory", "used_memory_scripts", "Memory scripts take in all."),
    Row("memory_max_bytes", G, "Memory", "maxmemory", "Limit of memory; 0 for none."),
    Row("total_system_memory_bytes", G, "Memory", "total_system_memory", "Memory of the machine."),
    Row("number_of_cached_scripts", G, "Memory", "number_of_cached_scripts", "Scripts that are known."),
    Row("number_of_functions", G, "Memory", "number_of_functions", "Functions that are loaded."),
    Row("number_of_libraries", G, "Memory", "number_of_libraries", "Libraries that are loaded."),
    Row("mem_fragmentation_ratio", G, "Memory", "mem_fragmentation_ratio", "Resident to used memory."),
    # An exporter's recording rule has this one, and a public dashboard asks for it.
    Row("memory_fragmentation_ratio", G, "Memory", "mem_fragmentation_ratio", "Resident to used memory."),
    Row("mem_fragmentation_bytes", G, "Memory", "mem_fragmentation_bytes", "Resident less used memory."),
    Row("mem_clients_normal", G, "Memory", "mem_clients_normal", "Buffers of clients, in bytes."),
    Row("mem_clients_slaves", G, "Memory", "mem_clients_slaves", "Buffers of replicas, in bytes."),
    Row("mem_cluster_links_bytes", G, "Memory", "mem_cluster_links", "Buffers of cluster links."),
    Row("mem_aof_buffer_bytes", G, "Memory", "mem_aof_buffer", "Buffers of the log."),
    Row("mem_replication_backlog_bytes", G, "Memory", "mem_replication_backlog", "History kept in memory."),
    Row("mem_total_replication_buffers_bytes", G, "Memory", "mem_total_replication_buffers",
        "History and replicas' buffers."),
    Row("mem_not_counted_for_eviction_bytes", G, "Memory", "mem_not_counted_for_evict",
        "Memory that maxmemory does not count."),
    Row("lazyfree_pending_objects", G, "Memory", "lazyfree_pending_objects", "Values yet to be freed."),
    Row("lazyfreed_objects", G, "Memory", "lazyfreed_objects", "Values freed in the background."),
    Row("active_defrag_running", G, "Memory", "active_defrag_running", "Share of CPU spent moving values."),
    # --- Persistence ---
    Row("loading_dump_file", G, "Persistence", "loading", "Whether data are being loaded."),
    Row("async_loading", G, "Persistence", "async_loading", "Whether they are while old ones are served."),
    Row("rdb_changes_since_last_save", G, "Persistence", "rdb_changes_since_last_save",
        "Changes not in a snapshot."),
    Row("rdb_bgsave_in_progress", G, "Persistence", "rdb_bgsave_in_progress",
        "Whether a snapshot is being made."),
    Row("rdb_last_save_timestamp_seconds", G, "Persistence", "rdb_last_save_time",
        "When the last snapshot was made."),
    Row("rdb_last_bgsave_status", G, "Persistence", "rdb_last_bgsave_status",
        "Whether the last snapshot succeeded."),
    Row("rdb_last_bgsave_duration_sec", G, "Persistence", "rdb_last_bgsave_time_sec",
        "Seconds the last snapshot took."),
    Row("rdb_current_bgsave_duration_sec", G, "Persistence", "rdb_current_bgsave_time_sec",
        "Seconds the present one has taken."),
    Row("rdb_saves_total", G, "Persistence", "rdb_saves", "Snapshots made."),
    Row("rdb_last_cow_size_bytes", G, "Persistence", "rdb_last_cow_size",
        "Memory copied during the last snapshot."),
    Row("rdb_last_load_expired_keys", G, "Persistence", "rdb_last_load_keys_expired",
        "Keys that had expired when loaded."),
    Row("rdb_last_load_loaded_keys", G, "Persistence", "rdb_last_load_keys_loaded",
        "Keys that were loaded."),
    Row("current_cow_size_bytes", G, "Persistence", "current_cow_size", "Memory copied during a fork."),
    Row("aof_enabled", G, "Persistence", "aof_enabled", "Whether changes are logged."),
    Row("aof_rewrite_in_progress", G, "Persistence", "aof_rewrite_in_progress",
        "Whether the log is being rewritten."),
    Row("aof_rewrite_scheduled", G, "Persistence", "aof_rewrite_scheduled", "Whether it is to be."),
    Row("aof_last_rewrite_duration_sec", G, "Persistence", "aof_last_rewrite_time_sec",
        "Seconds the last rewrite took."),
    Row("aof_current_rewrite_duration_sec", G, "Persistence", "aof_current_rewrite_time_sec",
        "Seconds the present one has taken."),
    Row("aof_last_bgrewrite_status", G, "Persistence", "aof_last_bgrewrite_status",
        "Whether the last rewrite succeeded."),
    Row("aof_last_write_status", G, "Persistence", "aof_last_write_status",
        "Whether the last write to the log succeeded."),
    Row("aof_last_cow_size_bytes", G, "Persistence", "aof_last_cow_size",
        "Memory copied during the last rewrite."),
    Row("aof_current_size_bytes", G, "Persistence", "aof_current_size", "Size of the log."),
    Row("aof_base_size_bytes", G, "Persistence", "aof_base_size", "Its size after the last rewrite."),
    Row("aof_buffer_length", G, "Persistence", "aof_buffer_length", "Bytes of the log not yet written."),
    Row("aof_pending_rewrite", G, "Persistence", "aof_pending_rewrite", "Whether a rewrite waits."),
    Row("aof_pending_bio_fsync", G, "Persistence", "aof_pending_bio_fsync", "Syncs that wait."),
    Row("aof_delayed_fsync", G, "Persistence", "aof_delayed_fsync", "Syncs that were late."),
    Row("module_fork_in_progress", G, "Persistence", "module_fork_in_progress", "Whether a module forked."),
    Row("module_fork_last_cow_size", G, "Persistence", "module_fork_last_cow_size",
        "Memory copied during a module's fork."),
    # --- Stats ---
    Row("connections_received_total", C, "Stats", "total_connections_received", "Connections accepted."),
    Row("rejected_connections_total", C, "Stats", "rejected_connections", "Connections turned away."),
    Row("commands_processed_total", C, "Stats", "total_commands_processed", "Commands run."),
    Row("net_input_bytes_total", C, "Stats", "total_net_input_bytes", "Bytes received."),
    Row("net_output_bytes_total", C, "Stats", "total_net_output_bytes", "Bytes sent."),
    Row("net_repl_input_bytes_total", C, "Stats", "total_net_repl_input_bytes", "Bytes from a master."),
    Row("net_repl_output_bytes_total", C, "Stats", "total_net_repl_output_bytes", "Bytes to replicas."),
    Row("keyspace_hits_total", C, "Stats", "keyspace_hits", "Look-ups that found a key."),
    Row("keyspace_misses_total", C, "Stats", "keyspace_misses", "Look-ups that found none."),
    Row("expired_keys_total", C, "Stats", "expired_keys", "Keys that have expired."),
    Row("expired_subkeys_total", C, "Stats", "expired_subkeys", "Fields of hashes that have expired."),
    Row("evicted_keys_total", C, "Stats", "evicted_keys", "Keys evicted for want of memory."),
    Row("evicted_clients_total", C, "Stats", "evicted_clients", "Clients ended for want of memory."),
    Row("evicted_scripts_total", C, "Stats", "evicted_scripts", "Scripts forgotten for want of room."),
    Row("expired_time_cap_reached_total", G, "Stats", "expired_time_cap_reached_count",
        "Searches for expired keys cut short."),
    Row("expired_stale_percentage", G, "Stats", "expired_stale_perc", "Share of keys that are overdue."),
    Row("pubsub_channels", G, "Stats", "pubsub_channels", "Channels somebody listens to."),
    Row("pubsub_patterns", G, "Stats", "pubsub_patterns", "Patterns somebody listens to."),
    Row("pubsubshard_channels", G, "Stats", "pubsubshard_channels", "Shard channels somebody listens to."),
    Row("latest_fork_usec", G, "Stats", "latest_fork_usec", "Microseconds the last fork took."),
    Row("latest_fork_seconds", G, "Stats", "latest_fork_usec", "Seconds the last fork took.", 1e-6),
    Row("replica_resyncs_full", G, "Stats", "sync_full", "Full transfers to replicas."),
    Row("replica_partial_resync_accepted", G, "Stats", "sync_partial_ok", "Replicas that continued."),
    Row("replica_partial_resync_denied", G, "Stats", "sync_partial_err", "Replicas that could not."),
    Row("migrate_cached_sockets_total", G, "Stats", "migrate_cached_sockets", "Connections of MIGRATE."),
    Row("slave_expires_tracked_keys", G, "Stats", "slave_expires_tracked_keys",
        "Keys a writable replica expires."),
    Row("defrag_hits", G, "Stats", "active_defrag_hits", "Values moved."),
    Row("defrag_misses", G, "Stats", "active_defrag_misses", "Values looked at and not moved."),
    Row("defrag_key_hits", G, "Stats", "active_defrag_key_hits", "Keys with values moved."),
    Row("defrag_key_misses", G, "Stats", "active_defrag_key_misses", "Keys with none moved."),
    Row("total_error_replies", U, "Stats", "total_error_replies", "Errors replied."),
    Row("unexpected_error_replies", U, "Stats", "unexpected_error_replies", "Errors of a master's stream."),
    Row("total_reads_processed", U, "Stats", "total_reads_processed", "Reads from sockets."),
    Row("total_writes_processed", U, "Stats", "total_writes_processed", "Writes to sockets."),
    Row("io_threaded_reads_processed", U, "Stats", "io_threaded_reads_processed", "Reads by I/O threads."),
    Row("io_threaded_writes_processed", U, "Stats", "io_threaded_writes_processed",
        "Writes by I/O threads."),
    Row("dump_payload_sanitizations", U, "Stats", "dump_payload_sanitizations", "Payloads checked in depth."),
    Row("acl_access_denied_auth_total", C, "Stats", "acl_access_denied_auth", "Failed authentications."),
    Row("acl_access_denied_cmd_total", C, "Stats", "acl_access_denied_cmd", "Commands not allowed."),
    Row("acl_access_denied_key_total", C, "Stats", "acl_access_denied_key", "Keys not allowed."),
    Row("acl_access_denied_channel_total", C, "Stats", "acl_access_denied_channel", "Channels not allowed."),
    # --- Replication ---
    Row("connected_slaves", G, "Replication", "connected_slaves", "Replicas that are attached."),
    Row("replication_backlog_bytes", G, "Replication", "repl_backlog_size", "History kept at most."),
    Row("repl_backlog_is_active", G, "Replication", "repl_backlog_active", "Whether history is kept."),
    Row("repl_backlog_first_byte_offset", G, "Replication", "repl_backlog_first_byte_offset",
        "Where the history that is kept begins."),
    Row("repl_backlog_history_bytes", G, "Replication", "repl_backlog_histlen", "History that is kept."),
    Row("master_repl_offset", G, "Replication", "master_repl_offset", "Offset of the stream of changes."),
    Row("second_repl_offset", G, "Replication", "second_repl_offset",
        "Up to where the former history is valid; -1 for none."),
    Row("slave_priority", G, "Replication", "slave_priority", "Rank in becoming master."),
    Row("slave_repl_offset", G, "Replication", "slave_repl_offset", "Offset this replica has applied."),
    # --- CPU ---
    Row("cpu_sys_seconds_total", C, "CPU", "used_cpu_sys", "CPU time in the kernel."),
    Row("cpu_user_seconds_total", C, "CPU", "used_cpu_user", "CPU time in the program."),
    Row("cpu_sys_children_seconds_total", C, "CPU", "used_cpu_sys_children", "The same, of children."),
    Row("cpu_user_children_seconds_total", C, "CPU", "used_cpu_user_children", "The same, of children."),
    Row("cpu_sys_main_thread_seconds_total", C, "CPU", "used_cpu_sys_main_thread",
        "The same, of the main thread."),
    Row("cpu_user_main_thread_seconds_total", C, "CPU", "used_cpu_user_main_thread",
        "The same, of the main thread."),
    # --- Cluster ---
    Row("cluster_enabled", G, "Cluster", "cluster_enabled", "Whether this is a node of a cluster."),
)

# What INFO says of a replica's link, labelled with its master.
LINK_ROWS = (
    Row("master_link_up", G, "Replication", "master_link_status", "Whether the master's stream comes in."),
    Row("master_last_io_seconds_ago", G, "Replication", "master_last_io_seconds_ago",
        "Seconds since the master was heard; -1 without a link."),
    Row("master_sync_in_progress", G, "Replication", "master_sync_in_progress",
        "Whether a full transfer is under way."),
)
# fmt: on
