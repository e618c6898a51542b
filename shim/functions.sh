#!/bin/sh
# Writes functions.def from a server's catalogue: shim/functions.sh [psql arguments] > shim/functions.def
# Use the newest server at hand; what it does not know yet only pins.
#
# Volatility says what a function does to data, not to the session, so both reviewed lists below are needed.
set -eu
psql -XAtq -v ON_ERROR_STOP=1 "$@" <<'SQL'
BEGIN READ ONLY;
SELECT E'/*\n * functions.def: the functions of pg_catalog, by what a call leaves in the session.\n * Made by functions.sh from PostgreSQL '
       || split_part(current_setting('server_version'), ' ', 1) || E'; do not edit.\n *\n'
       || E' * HARMLESS(name)  every overload leaves the session as it was\n'
       || E' * REFUSED(name)   touches the session, runs text or opens something: its name alone is enough to pin\n */';
WITH volatile_harmless(name) AS (VALUES
    ('clock_timestamp'), ('current_query'), ('gen_random_uuid'), ('random'), ('timeofday'),
    ('pg_advisory_xact_lock'), ('pg_advisory_xact_lock_shared'),
    ('pg_try_advisory_xact_lock'), ('pg_try_advisory_xact_lock_shared'),
    ('pg_blocking_pids'), ('pg_safe_snapshot_blocking_pids'), ('pg_lock_status'),
    ('pg_cancel_backend'), ('pg_terminate_backend'), ('pg_log_backend_memory_contexts'),
    ('pg_collation_actual_version'), ('pg_database_collation_actual_version'),
    ('pg_control_checkpoint'), ('pg_control_init'), ('pg_control_recovery'), ('pg_control_system'),
    ('pg_create_restore_point'), ('pg_switch_wal'), ('pg_reload_conf'), ('pg_rotate_logfile'),
    ('pg_current_logfile'), ('pg_current_wal_flush_lsn'), ('pg_current_wal_insert_lsn'), ('pg_current_wal_lsn'),
    ('pg_last_wal_receive_lsn'), ('pg_last_wal_replay_lsn'), ('pg_last_xact_replay_timestamp'),
    ('pg_is_in_recovery'), ('pg_is_wal_replay_paused'), ('pg_get_wal_replay_pause_state'),
    ('pg_get_wal_resource_managers'), ('pg_get_shmem_allocations'),
    ('pg_database_size'), ('pg_indexes_size'), ('pg_relation_size'), ('pg_table_size'),
    ('pg_tablespace_size'), ('pg_total_relation_size'),
    -- An exported snapshot ends with its transaction.
    ('pg_export_snapshot'),
    ('pg_hba_file_rules'), ('pg_ident_file_mappings'), ('pg_show_all_file_settings'),
    ('pg_last_committed_xact'), ('pg_xact_commit_timestamp'), ('pg_xact_commit_timestamp_origin'),
    ('pg_xact_status'), ('txid_status'), ('pg_get_multixact_members'),
    ('pg_ls_archive_statusdir'), ('pg_ls_dir'), ('pg_ls_logdir'), ('pg_ls_logicalmapdir'),
    ('pg_ls_logicalsnapdir'), ('pg_ls_replslotdir'), ('pg_ls_tmpdir'), ('pg_ls_waldir'),
    ('pg_read_binary_file'), ('pg_read_file'), ('pg_stat_file'),
    ('pg_notify'), ('pg_notification_queue_usage'),
    ('pg_partition_ancestors'), ('pg_partition_tree'), ('pg_prepared_xact'),
    -- The sequence's own value, not this session's.
    ('pg_sequence_last_value'),
    ('pg_sleep'), ('pg_sleep_for'), ('pg_sleep_until'),
    ('pg_stat_clear_snapshot'), ('pg_stat_force_next_flush'), ('pg_stat_get_recovery_prefetch'),
    ('pg_stat_have_stats'), ('pg_stat_reset'), ('pg_stat_reset_shared'), ('pg_stat_reset_slru'),
    ('pg_stat_reset_single_table_counters'), ('pg_stat_reset_single_function_counters'),
    ('pg_stat_get_xact_blocks_fetched'), ('pg_stat_get_xact_blocks_hit'),
    ('pg_stat_get_xact_function_calls'), ('pg_stat_get_xact_function_self_time'),
    ('pg_stat_get_xact_function_total_time'), ('pg_stat_get_xact_numscans'),
    ('pg_stat_get_xact_tuples_deleted'), ('pg_stat_get_xact_tuples_fetched'),
    ('pg_stat_get_xact_tuples_hot_updated'), ('pg_stat_get_xact_tuples_inserted'),
    ('pg_stat_get_xact_tuples_returned'), ('pg_stat_get_xact_tuples_updated'),
    ('pg_stat_reset_replication_slot'), ('pg_stat_reset_subscription_stats'),
    ('brin_desummarize_range'), ('brin_summarize_new_values'), ('brin_summarize_range'),
    ('gin_clean_pending_list')),
-- Not volatile by the catalogue, and still about the session, or running SQL that is given as text.
refused(name) AS (VALUES
    ('currval'), ('lastval'), ('nextval'), ('setval'), ('set_config'), ('setseed'),
    ('inet_client_port'), ('pg_backend_pid'), ('pg_my_temp_schema'), ('pg_is_other_temp_schema'),
    ('pg_listening_channels'), ('pg_prepared_statement'), ('pg_cursor'),
    ('pg_stat_get_backend_pid'), ('pg_stat_get_backend_idset'), ('pg_get_backend_memory_contexts'),
    ('pg_jit_available'), ('pg_event_trigger_ddl_commands'), ('pg_event_trigger_dropped_objects'),
    ('query_to_xml'), ('query_to_xmlschema'), ('query_to_xml_and_xmlschema'),
    ('cursor_to_xml'), ('cursor_to_xmlschema'),
    ('table_to_xml'), ('table_to_xmlschema'), ('table_to_xml_and_xmlschema'),
    ('schema_to_xml'), ('schema_to_xmlschema'), ('schema_to_xml_and_xmlschema'),
    ('database_to_xml'), ('database_to_xmlschema'), ('database_to_xml_and_xmlschema'),
    ('ts_stat'), ('ts_rewrite')),
judged AS (
    SELECT proname::text AS name,
           bool_or(proname IN (SELECT name FROM refused)
                   OR proname ~ '^(lo_|loread$|lowrite$|binary_upgrade_|pg_(replication|logical)_)'
                   OR proname ~ '_(create|copy|drop)_.*slot$|_validator$|^pg_(try_)?advisory_(lock|unlock)') AS is_refused,
           bool_and(provolatile IN ('i', 's') OR proname IN (SELECT name FROM volatile_harmless)) AS is_harmless,
           -- Only the executor itself can pass or take these.
           bool_or(prorettype IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype,
                                  'language_handler'::regtype, 'index_am_handler'::regtype,
                                  'table_am_handler'::regtype, 'tsm_handler'::regtype)
                   OR 'internal'::regtype = ANY (proargtypes::oid[])) AS is_internal
    FROM pg_catalog.pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < 16384
    GROUP BY proname)
SELECT CASE WHEN is_harmless AND NOT is_refused THEN 'HARMLESS("' ELSE 'REFUSED("' END || name || '")'
FROM judged
WHERE NOT is_internal AND name ~ '^[a-z_][a-z0-9_]*$'
ORDER BY name COLLATE "C";
SQL
