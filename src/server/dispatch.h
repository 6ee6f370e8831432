/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handlers of all procedures, by the file that holds them; procedure.c says which answers what.
 * size: a list.
 */
#pragma once

struct call;

/* ---- dispatch-connect.c ---- */
void handle_connect_open(struct call *call);
void handle_connect_close(struct call *call);
void handle_connect_get_type(struct call *call);
void handle_connect_get_hostname(struct call *call);
void handle_connect_supports_feature(struct call *call);
void handle_auth_list(struct call *call);
void handle_connect_get_uri(struct call *call);
void handle_connect_domain_xml_to_native(struct call *call);
void handle_connect_is_secure(struct call *call);
void handle_connect_get_lib_version(struct call *call);
void handle_accept(struct call *call);

/* ---- dispatch-host.c ---- */
void handle_connect_get_version(struct call *call);
void handle_connect_get_max_vcpus(struct call *call);
void handle_connect_get_capabilities(struct call *call);
void handle_connect_get_sysinfo(struct call *call);
void handle_connect_get_cpu_model_names(struct call *call);
void handle_connect_get_domain_capabilities(struct call *call);
void handle_node_get_info(struct call *call);
void handle_node_get_cells_free_memory(struct call *call);
void handle_node_get_free_memory(struct call *call);
void handle_node_get_security_model(struct call *call);
void handle_node_get_cpu_stats(struct call *call);
void handle_node_get_memory_stats(struct call *call);
void handle_node_get_cpu_map(struct call *call);

/* ---- dispatch-domain.c ---- */
void handle_connect_list_defined_domains(struct call *call);
void handle_domain_lookup_by_id(struct call *call);
void handle_domain_lookup_by_name(struct call *call);
void handle_domain_lookup_by_uuid(struct call *call);
void handle_connect_num_of_defined_domains(struct call *call);
void handle_connect_list_domains(struct call *call);
void handle_connect_num_of_domains(struct call *call);
void handle_connect_list_all_domains(struct call *call);

/* ---- dispatch-device.c ---- */
void handle_domain_attach_device(struct call *call);
void handle_domain_attach_device_flags(struct call *call);
void handle_domain_detach_device(struct call *call);
void handle_domain_detach_device_flags(struct call *call);
void handle_domain_detach_device_alias(struct call *call);

/* ---- dispatch-lifecycle.c ---- */
void handle_domain_create(struct call *call);
void handle_domain_create_xml(struct call *call);
void handle_domain_define_xml(struct call *call);
void handle_domain_destroy(struct call *call);
void handle_domain_get_autostart(struct call *call);
void handle_domain_reboot(struct call *call);
void handle_domain_resume(struct call *call);
void handle_domain_set_autostart(struct call *call);
void handle_domain_shutdown(struct call *call);
void handle_domain_suspend(struct call *call);
void handle_domain_undefine(struct call *call);
void handle_domain_create_with_flags(struct call *call);
void handle_godwit_start(struct call *call);
void handle_domain_inject_nmi(struct call *call);
void handle_domain_undefine_flags(struct call *call);
void handle_domain_destroy_flags(struct call *call);
void handle_domain_reset(struct call *call);
void handle_domain_shutdown_flags(struct call *call);
void handle_domain_define_xml_flags(struct call *call);
void handle_domain_rename(struct call *call);
void handle_domain_get_autostart_once(struct call *call);
void handle_domain_set_autostart_once(struct call *call);

/* ---- dispatch-query.c ---- */
void handle_domain_get_xml_desc(struct call *call);
void handle_domain_get_info(struct call *call);
void handle_domain_get_max_memory(struct call *call);
void handle_domain_get_max_vcpus(struct call *call);
void handle_domain_get_os_type(struct call *call);
void handle_domain_get_security_label(struct call *call);
void handle_domain_is_active(struct call *call);
void handle_domain_is_persistent(struct call *call);
void handle_domain_get_state(struct call *call);
void handle_domain_get_control_info(struct call *call);
void handle_domain_set_metadata(struct call *call);
void handle_domain_get_metadata(struct call *call);
void handle_domain_get_security_label_list(struct call *call);
void handle_domain_get_messages(struct call *call);

/* ---- dispatch-save.c ---- */
void handle_domain_restore(struct call *call);
void handle_domain_save(struct call *call);
void handle_domain_get_job_info(struct call *call);
void handle_domain_abort_job(struct call *call);
void handle_domain_managed_save(struct call *call);
void handle_domain_has_managed_save_image(struct call *call);
void handle_domain_managed_save_remove(struct call *call);
void handle_domain_save_flags(struct call *call);
void handle_domain_restore_flags(struct call *call);
void handle_domain_save_image_get_xml_desc(struct call *call);
void handle_domain_save_image_define_xml(struct call *call);
void handle_domain_get_job_stats(struct call *call);
void handle_domain_managed_save_get_xml_desc(struct call *call);
void handle_domain_managed_save_define_xml(struct call *call);
void handle_domain_save_params(struct call *call);
void handle_domain_restore_params(struct call *call);
void handle_godwit_restore(struct call *call);
void handle_restore_info(struct call *call);
void handle_migrate_resolve(struct call *call);
void handle_restore_hurry(struct call *call);
void handle_domain_abort_job_flags(struct call *call);

/* ---- dispatch-snapshot.c ---- */
void handle_domain_snapshot_create_xml(struct call *call);
void handle_domain_snapshot_get_xml_desc(struct call *call);
void handle_domain_snapshot_num(struct call *call);
void handle_domain_snapshot_list_names(struct call *call);
void handle_domain_snapshot_lookup_by_name(struct call *call);
void handle_domain_has_current_snapshot(struct call *call);
void handle_domain_snapshot_current(struct call *call);
void handle_domain_revert_to_snapshot(struct call *call);
void handle_domain_snapshot_delete(struct call *call);
void handle_domain_snapshot_get_parent(struct call *call);
void handle_domain_snapshot_num_children(struct call *call);
void handle_domain_snapshot_list_children_names(struct call *call);
void handle_domain_snapshot_is_current(struct call *call);
void handle_domain_snapshot_has_metadata(struct call *call);
void handle_domain_list_all_snapshots(struct call *call);
void handle_domain_snapshot_list_all_children(struct call *call);

/* ---- dispatch-block.c ---- */
void handle_domain_block_job_abort(struct call *call);
void handle_domain_get_block_job_info(struct call *call);
void handle_domain_block_job_set_speed(struct call *call);
void handle_domain_block_pull(struct call *call);
void handle_domain_block_rebase(struct call *call);
void handle_domain_block_commit(struct call *call);
void handle_domain_block_resize(struct call *call);

/* ---- dispatch-snapshot-size.c ---- */
void handle_godwit_snapshot_list(struct call *call);
void handle_godwit_snapshot_create(struct call *call);

/* ---- dispatch-stats.c ---- */
void handle_domain_block_stats(struct call *call);
void handle_domain_interface_stats(struct call *call);
void handle_domain_memory_stats(struct call *call);
void handle_domain_get_block_info(struct call *call);
void handle_domain_block_stats_flags(struct call *call);
void handle_domain_get_disk_errors(struct call *call);

/* ---- dispatch-agent.c ---- */
void handle_domain_fsfreeze(struct call *call);
void handle_domain_fsthaw(struct call *call);
void handle_domain_fstrim(struct call *call);
void handle_domain_get_time(struct call *call);
void handle_domain_set_time(struct call *call);
void handle_domain_set_user_password(struct call *call);
void handle_domain_agent_set_response_timeout(struct call *call);
void handle_qemu_agent_command(struct call *call);

/* ---- dispatch-guest.c ---- */
void handle_domain_get_fsinfo(struct call *call);
void handle_domain_get_hostname(struct call *call);
void handle_domain_interface_addresses(struct call *call);
void handle_domain_get_guest_info(struct call *call);

/* ---- dispatch-migrate.c ---- */
void handle_domain_migrate_begin3_params(struct call *call);
void handle_domain_migrate_prepare3_params(struct call *call);
void handle_domain_migrate_prepare_tunnel3_params(struct call *call);
void handle_domain_migrate_perform3_params(struct call *call);
void handle_domain_migrate_finish3_params(struct call *call);
void handle_domain_migrate_confirm3_params(struct call *call);
void handle_domain_migrate_begin3(struct call *call);
void handle_domain_migrate_prepare3(struct call *call);
void handle_domain_migrate_prepare_tunnel3(struct call *call);
void handle_domain_migrate_perform3(struct call *call);
void handle_domain_migrate_finish3(struct call *call);
void handle_domain_migrate_confirm3(struct call *call);

/* ---- dispatch-migrate-check.c ---- */
void handle_godwit_migrate_check(struct call *call);
void handle_godwit_migrate_compare(struct call *call);

/* ---- dispatch-migrate-limit.c ---- */
void handle_domain_migrate_start_post_copy(struct call *call);
void handle_domain_migrate_set_max_downtime(struct call *call);
void handle_domain_migrate_get_max_downtime(struct call *call);
void handle_domain_migrate_set_max_speed(struct call *call);
void handle_domain_migrate_get_max_speed(struct call *call);
void handle_domain_migrate_set_compression_cache(struct call *call);
void handle_domain_migrate_get_compression_cache(struct call *call);

/* ---- dispatch-vcpu.c ---- */
void handle_domain_get_vcpus(struct call *call);
void handle_domain_get_vcpus_flags(struct call *call);
void handle_domain_set_vcpus_flags(struct call *call);
void handle_domain_get_vcpu_pin_info(struct call *call);
void handle_domain_get_cpu_stats(struct call *call);
void handle_domain_get_emulator_pin_info(struct call *call);
void handle_domain_get_iothread_info(struct call *call);

/* ---- dispatch-domstats.c ---- */
void handle_connect_get_all_domain_stats(struct call *call);

/* ---- dispatch-console.c ---- */
void handle_domain_open_console(struct call *call);
void handle_domain_open_channel(struct call *call);

/* ---- dispatch-event.c ---- */
void handle_connect_domain_event_register(struct call *call);
void handle_connect_domain_event_deregister(struct call *call);
void handle_connect_domain_event_register_any(struct call *call);
void handle_connect_domain_event_deregister_any(struct call *call);
void handle_register_nothing(struct call *call);
void handle_deregister_nothing(struct call *call);
void handle_connect_domain_event_callback_register_any(struct call *call);
void handle_connect_domain_event_callback_deregister_any(struct call *call);

/* ---- dispatch-qemu.c ---- */
void handle_qemu_monitor_command(struct call *call);
void handle_qemu_monitor_event_register(struct call *call);
void handle_qemu_monitor_event_deregister(struct call *call);

/* ---- dispatch-clone.c ---- */
void handle_domain_clone(struct call *call);

/* ---- dispatch-lease.c ---- */
void handle_lease_list(struct call *call);
void handle_lease_show(struct call *call);
void handle_lease_lost(struct call *call);

/* ---- dispatch-paths.c ---- */
void handle_paths(struct call *call);

/* ---- dispatch-empty.c ---- */
void handle_nothing(struct call *call);
void handle_no_network(struct call *call);
void handle_no_pool(struct call *call);
void handle_no_volume(struct call *call);
void handle_no_node_device(struct call *call);
void handle_no_interface(struct call *call);
void handle_no_secret(struct call *call);
void handle_no_nwfilter(struct call *call);
void handle_nothing_of_domain(struct call *call);
void handle_no_checkpoint(struct call *call);
