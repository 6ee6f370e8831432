/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of procedures, sorted by number. What is not in it does not exist here. */
#include "procedure.h"

#include <ctype.h>

#include "alloc.h"
#include "dispatch.h"
#include "guest.h"
#include "images.h"
#include "migration.h"
#include "own.h"
#include "strv.h"

#define ARGS(type)				     sizeof(type), (xdrproc_t)xdr_##type
#define NO_ARGS					     0, NULL
#define RET(type)				     (xdrproc_t) xdr_##type
#define NO_RET					     NULL
#define PROCEDURE(number, access, args, ret, handle) ROW(number, #number, access, args, ret, handle)

/* clang-format off */
#define ROW(number, name, access, args_size, args, ret, handle) \
	{number, args_size, ACCESS_##access, name, args, ret, handle}

static const struct procedure remote_procedures[] = {
	PROCEDURE(RPC_CONNECT_OPEN, ALWAYS, ARGS(rpc_connect_open_args), NO_RET, handle_connect_open),
	PROCEDURE(RPC_CONNECT_CLOSE, ALWAYS, NO_ARGS, NO_RET, handle_connect_close),
	PROCEDURE(RPC_CONNECT_GET_TYPE, READ, NO_ARGS, RET(rpc_string_ret), handle_connect_get_type),
	PROCEDURE(RPC_CONNECT_GET_VERSION, READ, NO_ARGS, RET(rpc_u64_ret), handle_connect_get_version),
	PROCEDURE(RPC_CONNECT_GET_MAX_VCPUS, READ, ARGS(rpc_optional_string_args), RET(rpc_int_ret), handle_connect_get_max_vcpus),
	PROCEDURE(RPC_NODE_GET_INFO, READ, NO_ARGS, RET(rpc_node_info_ret), handle_node_get_info),
	PROCEDURE(RPC_CONNECT_GET_CAPABILITIES, READ, NO_ARGS, RET(rpc_string_ret), handle_connect_get_capabilities),
	PROCEDURE(RPC_DOMAIN_ATTACH_DEVICE, WRITE, ARGS(rpc_device_args), NO_RET, handle_domain_attach_device),
	PROCEDURE(RPC_DOMAIN_CREATE, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_create),
	PROCEDURE(RPC_DOMAIN_CREATE_XML, WRITE, ARGS(rpc_xml_flags_args), RET(rpc_domain_ret), handle_domain_create_xml),
	PROCEDURE(RPC_DOMAIN_DEFINE_XML, WRITE, ARGS(rpc_xml_args), RET(rpc_domain_ret), handle_domain_define_xml),
	PROCEDURE(RPC_DOMAIN_DESTROY, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_destroy),
	PROCEDURE(RPC_DOMAIN_DETACH_DEVICE, WRITE, ARGS(rpc_device_args), NO_RET, handle_domain_detach_device),
	PROCEDURE(RPC_DOMAIN_GET_XML_DESC, READ, ARGS(rpc_domain_flags_args), RET(rpc_string_ret), handle_domain_get_xml_desc),
	PROCEDURE(RPC_DOMAIN_GET_AUTOSTART, READ, ARGS(rpc_domain_args), RET(rpc_int_ret), handle_domain_get_autostart),
	PROCEDURE(RPC_DOMAIN_GET_INFO, READ, ARGS(rpc_domain_args), RET(rpc_domain_info_ret), handle_domain_get_info),
	PROCEDURE(RPC_DOMAIN_GET_MAX_MEMORY, READ, ARGS(rpc_domain_args), RET(rpc_u64_ret), handle_domain_get_max_memory),
	PROCEDURE(RPC_DOMAIN_GET_MAX_VCPUS, READ, ARGS(rpc_domain_args), RET(rpc_int_ret), handle_domain_get_max_vcpus),
	PROCEDURE(RPC_DOMAIN_GET_OS_TYPE, READ, ARGS(rpc_domain_args), RET(rpc_string_ret), handle_domain_get_os_type),
	PROCEDURE(RPC_DOMAIN_GET_VCPUS, READ, ARGS(rpc_vcpus_args), RET(rpc_vcpus_ret), handle_domain_get_vcpus),
	PROCEDURE(RPC_CONNECT_LIST_DEFINED_DOMAINS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_connect_list_defined_domains),
	PROCEDURE(RPC_DOMAIN_LOOKUP_BY_ID, READ, ARGS(rpc_id_args), RET(rpc_domain_ret), handle_domain_lookup_by_id),
	PROCEDURE(RPC_DOMAIN_LOOKUP_BY_NAME, READ, ARGS(rpc_name_args), RET(rpc_domain_ret), handle_domain_lookup_by_name),
	PROCEDURE(RPC_DOMAIN_LOOKUP_BY_UUID, READ, ARGS(rpc_uuid_args), RET(rpc_domain_ret), handle_domain_lookup_by_uuid),
	PROCEDURE(RPC_CONNECT_NUM_OF_DEFINED_DOMAINS, READ, NO_ARGS, RET(rpc_int_ret), handle_connect_num_of_defined_domains),
	PROCEDURE(RPC_DOMAIN_REBOOT, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_reboot),
	PROCEDURE(RPC_DOMAIN_RESUME, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_resume),
	PROCEDURE(RPC_DOMAIN_SET_AUTOSTART, WRITE, ARGS(rpc_domain_int_args), NO_RET, handle_domain_set_autostart),
	PROCEDURE(RPC_DOMAIN_SHUTDOWN, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_shutdown),
	PROCEDURE(RPC_DOMAIN_SUSPEND, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_suspend),
	PROCEDURE(RPC_DOMAIN_UNDEFINE, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_undefine),
	PROCEDURE(RPC_CONNECT_LIST_DEFINED_NETWORKS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_DOMAINS, READ, ARGS(rpc_maximum_args), RET(rpc_ids_ret), handle_connect_list_domains),
	PROCEDURE(RPC_CONNECT_LIST_NETWORKS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_NETWORK_LOOKUP_BY_NAME, READ, ARGS(rpc_name_args), NO_RET, handle_no_network),
	PROCEDURE(RPC_NETWORK_LOOKUP_BY_UUID, READ, ARGS(rpc_uuid_args), NO_RET, handle_no_network),
	PROCEDURE(RPC_CONNECT_NUM_OF_DEFINED_NETWORKS, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_NUM_OF_DOMAINS, READ, NO_ARGS, RET(rpc_int_ret), handle_connect_num_of_domains),
	PROCEDURE(RPC_CONNECT_NUM_OF_NETWORKS, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_DOMAIN_RESTORE, WRITE, ARGS(rpc_name_args), NO_RET, handle_domain_restore),
	PROCEDURE(RPC_DOMAIN_SAVE, WRITE, ARGS(rpc_domain_path_args), NO_RET, handle_domain_save),
	PROCEDURE(RPC_CONNECT_GET_HOSTNAME, READ, NO_ARGS, RET(rpc_string_ret), handle_connect_get_hostname),
	PROCEDURE(RPC_CONNECT_SUPPORTS_FEATURE, ALWAYS, ARGS(rpc_connect_supports_feature_args), RET(rpc_int_ret), handle_connect_supports_feature),
	PROCEDURE(RPC_DOMAIN_BLOCK_STATS, READ, ARGS(rpc_domain_path_args), RET(rpc_block_stats_ret), handle_domain_block_stats),
	PROCEDURE(RPC_DOMAIN_INTERFACE_STATS, READ, ARGS(rpc_domain_path_args), RET(rpc_interface_stats_ret), handle_domain_interface_stats),
	PROCEDURE(RPC_AUTH_LIST, ALWAYS, NO_ARGS, RET(rpc_auth_list_ret), handle_auth_list),
	PROCEDURE(RPC_CONNECT_NUM_OF_STORAGE_POOLS, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_STORAGE_POOLS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_NUM_OF_DEFINED_STORAGE_POOLS, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_DEFINED_STORAGE_POOLS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_STORAGE_POOL_LOOKUP_BY_NAME, READ, ARGS(rpc_name_args), NO_RET, handle_no_pool),
	PROCEDURE(RPC_STORAGE_POOL_LOOKUP_BY_UUID, READ, ARGS(rpc_uuid_args), NO_RET, handle_no_pool),
	PROCEDURE(RPC_STORAGE_VOLUME_LOOKUP_BY_NAME, READ, ARGS(rpc_volume_lookup_by_name_args), NO_RET, handle_no_volume),
	PROCEDURE(RPC_STORAGE_VOLUME_LOOKUP_BY_KEY, READ, ARGS(rpc_name_args), NO_RET, handle_no_volume),
	PROCEDURE(RPC_STORAGE_VOLUME_LOOKUP_BY_PATH, READ, ARGS(rpc_name_args), NO_RET, handle_no_volume),
	PROCEDURE(RPC_NODE_GET_CELLS_FREE_MEMORY, READ, ARGS(rpc_cells_free_memory_args), RET(rpc_cells_free_memory_ret), handle_node_get_cells_free_memory),
	PROCEDURE(RPC_NODE_GET_FREE_MEMORY, READ, NO_ARGS, RET(rpc_u64_ret), handle_node_get_free_memory),
	PROCEDURE(RPC_CONNECT_DOMAIN_EVENT_REGISTER, READ, NO_ARGS, RET(rpc_int_ret), handle_connect_domain_event_register),
	PROCEDURE(RPC_CONNECT_DOMAIN_EVENT_DEREGISTER, READ, NO_ARGS, RET(rpc_int_ret), handle_connect_domain_event_deregister),
	PROCEDURE(RPC_CONNECT_GET_URI, READ, NO_ARGS, RET(rpc_string_ret), handle_connect_get_uri),
	PROCEDURE(RPC_NODE_NUM_OF_DEVICES, READ, ARGS(rpc_node_num_of_devices_args), RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_NODE_LIST_DEVICES, READ, ARGS(rpc_node_list_devices_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_NODE_DEVICE_LOOKUP_BY_NAME, READ, ARGS(rpc_name_args), NO_RET, handle_no_node_device),
	PROCEDURE(RPC_DOMAIN_GET_SECURITY_LABEL, READ, ARGS(rpc_domain_args), RET(rpc_security_label_ret), handle_domain_get_security_label),
	PROCEDURE(RPC_NODE_GET_SECURITY_MODEL, READ, NO_ARGS, RET(rpc_security_model_ret), handle_node_get_security_model),
	PROCEDURE(RPC_CONNECT_NUM_OF_INTERFACES, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_INTERFACES, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_INTERFACE_LOOKUP_BY_NAME, READ, ARGS(rpc_name_args), NO_RET, handle_no_interface),
	PROCEDURE(RPC_INTERFACE_LOOKUP_BY_MAC_STRING, READ, ARGS(rpc_name_args), NO_RET, handle_no_interface),
	PROCEDURE(RPC_CONNECT_DOMAIN_XML_TO_NATIVE, WRITE, ARGS(rpc_xml_to_native_args), RET(rpc_string_ret), handle_connect_domain_xml_to_native),
	PROCEDURE(RPC_CONNECT_NUM_OF_DEFINED_INTERFACES, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_DEFINED_INTERFACES, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_NUM_OF_SECRETS, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_SECRETS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_SECRET_LOOKUP_BY_UUID, READ, ARGS(rpc_uuid_args), NO_RET, handle_no_secret),
	PROCEDURE(RPC_SECRET_LOOKUP_BY_USAGE, READ, ARGS(rpc_secret_lookup_by_usage_args), NO_RET, handle_no_secret),
	PROCEDURE(RPC_CONNECT_IS_SECURE, READ, NO_ARGS, RET(rpc_int_ret), handle_connect_is_secure),
	PROCEDURE(RPC_DOMAIN_IS_ACTIVE, READ, ARGS(rpc_domain_args), RET(rpc_int_ret), handle_domain_is_active),
	PROCEDURE(RPC_DOMAIN_IS_PERSISTENT, READ, ARGS(rpc_domain_args), RET(rpc_int_ret), handle_domain_is_persistent),
	PROCEDURE(RPC_CONNECT_GET_LIB_VERSION, READ, NO_ARGS, RET(rpc_u64_ret), handle_connect_get_lib_version),
	PROCEDURE(RPC_DOMAIN_MEMORY_STATS, READ, ARGS(rpc_memory_stats_args), RET(rpc_memory_stats_ret), handle_domain_memory_stats),
	PROCEDURE(RPC_DOMAIN_ATTACH_DEVICE_FLAGS, WRITE, ARGS(rpc_device_flags_args), NO_RET, handle_domain_attach_device_flags),
	PROCEDURE(RPC_DOMAIN_DETACH_DEVICE_FLAGS, WRITE, ARGS(rpc_device_flags_args), NO_RET, handle_domain_detach_device_flags),
	PROCEDURE(RPC_DOMAIN_GET_JOB_INFO, READ, ARGS(rpc_domain_args), RET(rpc_job_info_ret), handle_domain_get_job_info),
	PROCEDURE(RPC_DOMAIN_ABORT_JOB, WRITE, ARGS(rpc_domain_args), NO_RET, handle_domain_abort_job),
	PROCEDURE(RPC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, WRITE, ARGS(rpc_migrate_limit_args), NO_RET, handle_domain_migrate_set_max_downtime),
	PROCEDURE(RPC_CONNECT_DOMAIN_EVENT_REGISTER_ANY, READ, ARGS(rpc_event_id_args), NO_RET, handle_connect_domain_event_register_any),
	PROCEDURE(RPC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY, READ, ARGS(rpc_event_id_args), NO_RET, handle_connect_domain_event_deregister_any),
	PROCEDURE(RPC_NWFILTER_LOOKUP_BY_NAME, READ, ARGS(rpc_name_args), NO_RET, handle_no_nwfilter),
	PROCEDURE(RPC_NWFILTER_LOOKUP_BY_UUID, READ, ARGS(rpc_uuid_args), NO_RET, handle_no_nwfilter),
	PROCEDURE(RPC_CONNECT_NUM_OF_NWFILTERS, READ, NO_ARGS, RET(rpc_int_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_NWFILTERS, READ, ARGS(rpc_maximum_args), RET(rpc_strings_ret), handle_nothing),
	PROCEDURE(RPC_DOMAIN_MANAGED_SAVE, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_managed_save),
	PROCEDURE(RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, READ, ARGS(rpc_domain_flags_args), RET(rpc_int_ret), handle_domain_has_managed_save_image),
	PROCEDURE(RPC_DOMAIN_MANAGED_SAVE_REMOVE, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_managed_save_remove),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_CREATE_XML, WRITE, ARGS(rpc_device_flags_args), RET(rpc_snapshot_ret), handle_domain_snapshot_create_xml),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_GET_XML_DESC, READ, ARGS(rpc_snapshot_flags_args), RET(rpc_string_ret), handle_domain_snapshot_get_xml_desc),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_NUM, READ, ARGS(rpc_domain_flags_args), RET(rpc_int_ret), handle_domain_snapshot_num),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_LIST_NAMES, READ, ARGS(rpc_domain_maximum_flags_args), RET(rpc_strings_ret), handle_domain_snapshot_list_names),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_LOOKUP_BY_NAME, READ, ARGS(rpc_domain_path_flags_args), RET(rpc_snapshot_ret), handle_domain_snapshot_lookup_by_name),
	PROCEDURE(RPC_DOMAIN_HAS_CURRENT_SNAPSHOT, READ, ARGS(rpc_domain_flags_args), RET(rpc_int_ret), handle_domain_has_current_snapshot),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_CURRENT, READ, ARGS(rpc_domain_flags_args), RET(rpc_snapshot_ret), handle_domain_snapshot_current),
	PROCEDURE(RPC_DOMAIN_REVERT_TO_SNAPSHOT, WRITE, ARGS(rpc_snapshot_flags_args), NO_RET, handle_domain_revert_to_snapshot),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_DELETE, WRITE, ARGS(rpc_snapshot_flags_args), NO_RET, handle_domain_snapshot_delete),
	PROCEDURE(RPC_DOMAIN_GET_BLOCK_INFO, READ, ARGS(rpc_domain_path_flags_args), RET(rpc_block_info_ret), handle_domain_get_block_info),
	PROCEDURE(RPC_DOMAIN_CREATE_WITH_FLAGS, WRITE, ARGS(rpc_domain_flags_args), RET(rpc_domain_ret), handle_domain_create_with_flags),
	PROCEDURE(RPC_DOMAIN_SET_VCPUS_FLAGS, WRITE, ARGS(rpc_set_vcpus_args), NO_RET, handle_domain_set_vcpus_flags),
	PROCEDURE(RPC_DOMAIN_GET_VCPUS_FLAGS, READ, ARGS(rpc_domain_flags_args), RET(rpc_int_ret), handle_domain_get_vcpus_flags),
	PROCEDURE(RPC_DOMAIN_OPEN_CONSOLE, WRITE, ARGS(rpc_open_console_args), NO_RET, handle_domain_open_console),
	PROCEDURE(RPC_CONNECT_GET_SYSINFO, READ, ARGS(rpc_flags_args), RET(rpc_string_ret), handle_connect_get_sysinfo),
	PROCEDURE(RPC_DOMAIN_MIGRATE_SET_MAX_SPEED, WRITE, ARGS(rpc_migrate_limit_args), NO_RET, handle_domain_migrate_set_max_speed),
	PROCEDURE(RPC_DOMAIN_INJECT_NMI, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_inject_nmi),
	PROCEDURE(RPC_DOMAIN_GET_STATE, READ, ARGS(rpc_domain_flags_args), RET(rpc_domain_state_ret), handle_domain_get_state),
	PROCEDURE(RPC_DOMAIN_MIGRATE_BEGIN3, WRITE, ARGS(rpc_migrate_begin3_args), RET(rpc_migrate_begin_ret), handle_domain_migrate_begin3),
	PROCEDURE(RPC_DOMAIN_MIGRATE_PREPARE3, WRITE, ARGS(rpc_migrate_prepare3_args), RET(rpc_migrate_prepare_ret), handle_domain_migrate_prepare3),
	PROCEDURE(RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3, WRITE, ARGS(rpc_migrate_prepare_tunnel3_args), RET(rpc_migrate_cookie_ret), handle_domain_migrate_prepare_tunnel3),
	PROCEDURE(RPC_DOMAIN_MIGRATE_PERFORM3, WRITE, ARGS(rpc_migrate_perform3_args), RET(rpc_migrate_cookie_ret), handle_domain_migrate_perform3),
	PROCEDURE(RPC_DOMAIN_MIGRATE_FINISH3, WRITE, ARGS(rpc_migrate_finish3_args), RET(rpc_migrate_finish_ret), handle_domain_migrate_finish3),
	PROCEDURE(RPC_DOMAIN_MIGRATE_CONFIRM3, WRITE, ARGS(rpc_migrate_confirm3_args), NO_RET, handle_domain_migrate_confirm3),
	PROCEDURE(RPC_NODE_GET_CPU_STATS, READ, ARGS(rpc_node_cpu_stats_args), RET(rpc_node_stats_ret), handle_node_get_cpu_stats),
	PROCEDURE(RPC_NODE_GET_MEMORY_STATS, READ, ARGS(rpc_node_memory_stats_args), RET(rpc_node_stats_ret), handle_node_get_memory_stats),
	PROCEDURE(RPC_DOMAIN_GET_CONTROL_INFO, READ, ARGS(rpc_domain_flags_args), RET(rpc_domain_control_info_ret), handle_domain_get_control_info),
	PROCEDURE(RPC_DOMAIN_GET_VCPU_PIN_INFO, READ, ARGS(rpc_vcpu_pin_info_args), RET(rpc_pin_info_ret), handle_domain_get_vcpu_pin_info),
	PROCEDURE(RPC_DOMAIN_UNDEFINE_FLAGS, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_undefine_flags),
	PROCEDURE(RPC_DOMAIN_SAVE_FLAGS, WRITE, ARGS(rpc_domain_save_flags_args), NO_RET, handle_domain_save_flags),
	PROCEDURE(RPC_DOMAIN_RESTORE_FLAGS, WRITE, ARGS(rpc_domain_restore_flags_args), NO_RET, handle_domain_restore_flags),
	PROCEDURE(RPC_DOMAIN_DESTROY_FLAGS, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_destroy_flags),
	PROCEDURE(RPC_DOMAIN_SAVE_IMAGE_GET_XML_DESC, WRITE, ARGS(rpc_xml_flags_args), RET(rpc_string_ret), handle_domain_save_image_get_xml_desc),
	PROCEDURE(RPC_DOMAIN_SAVE_IMAGE_DEFINE_XML, WRITE, ARGS(rpc_save_image_define_args), NO_RET, handle_domain_save_image_define_xml),
	PROCEDURE(RPC_DOMAIN_BLOCK_JOB_ABORT, WRITE, ARGS(rpc_domain_path_flags_args), NO_RET, handle_domain_block_job_abort),
	PROCEDURE(RPC_DOMAIN_GET_BLOCK_JOB_INFO, READ, ARGS(rpc_domain_path_flags_args), RET(rpc_block_job_info_ret), handle_domain_get_block_job_info),
	PROCEDURE(RPC_DOMAIN_BLOCK_JOB_SET_SPEED, WRITE, ARGS(rpc_block_number_args), NO_RET, handle_domain_block_job_set_speed),
	PROCEDURE(RPC_DOMAIN_BLOCK_PULL, WRITE, ARGS(rpc_block_number_args), NO_RET, handle_domain_block_pull),
	PROCEDURE(RPC_DOMAIN_MIGRATE_GET_MAX_SPEED, READ, ARGS(rpc_domain_flags_args), RET(rpc_u64_ret), handle_domain_migrate_get_max_speed),
	PROCEDURE(RPC_DOMAIN_BLOCK_STATS_FLAGS, READ, ARGS(rpc_block_stats_flags_args), RET(rpc_block_stats_flags_ret), handle_domain_block_stats_flags),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_GET_PARENT, READ, ARGS(rpc_snapshot_flags_args), RET(rpc_snapshot_ret), handle_domain_snapshot_get_parent),
	PROCEDURE(RPC_DOMAIN_RESET, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_reset),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_NUM_CHILDREN, READ, ARGS(rpc_snapshot_flags_args), RET(rpc_int_ret), handle_domain_snapshot_num_children),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_LIST_CHILDREN_NAMES, READ, ARGS(rpc_snapshot_maximum_flags_args), RET(rpc_strings_ret), handle_domain_snapshot_list_children_names),
	PROCEDURE(RPC_DOMAIN_BLOCK_RESIZE, WRITE, ARGS(rpc_block_number_args), NO_RET, handle_domain_block_resize),
	PROCEDURE(RPC_DOMAIN_SHUTDOWN_FLAGS, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_shutdown_flags),
	PROCEDURE(RPC_DOMAIN_GET_CPU_STATS, READ, ARGS(rpc_cpu_stats_args), RET(rpc_params_count_ret), handle_domain_get_cpu_stats),
	PROCEDURE(RPC_DOMAIN_GET_DISK_ERRORS, READ, ARGS(rpc_disk_errors_args), RET(rpc_disk_errors_ret), handle_domain_get_disk_errors),
	PROCEDURE(RPC_DOMAIN_SET_METADATA, WRITE, ARGS(rpc_set_metadata_args), NO_RET, handle_domain_set_metadata),
	PROCEDURE(RPC_DOMAIN_GET_METADATA, READ, ARGS(rpc_get_metadata_args), RET(rpc_string_ret), handle_domain_get_metadata),
	PROCEDURE(RPC_DOMAIN_BLOCK_REBASE, WRITE, ARGS(rpc_block_rebase_args), NO_RET, handle_domain_block_rebase),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_IS_CURRENT, READ, ARGS(rpc_snapshot_flags_args), RET(rpc_int_ret), handle_domain_snapshot_is_current),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_HAS_METADATA, READ, ARGS(rpc_snapshot_flags_args), RET(rpc_int_ret), handle_domain_snapshot_has_metadata),
	PROCEDURE(RPC_CONNECT_LIST_ALL_DOMAINS, READ, ARGS(rpc_list_args), RET(rpc_domains_ret), handle_connect_list_all_domains),
	PROCEDURE(RPC_DOMAIN_LIST_ALL_SNAPSHOTS, READ, ARGS(rpc_domain_list_args), RET(rpc_snapshots_ret), handle_domain_list_all_snapshots),
	PROCEDURE(RPC_DOMAIN_SNAPSHOT_LIST_ALL_CHILDREN, READ, ARGS(rpc_snapshot_list_args), RET(rpc_snapshots_ret), handle_domain_snapshot_list_all_children),
	PROCEDURE(RPC_DOMAIN_GET_HOSTNAME, WRITE, ARGS(rpc_domain_flags_args), RET(rpc_string_ret), handle_domain_get_hostname),
	PROCEDURE(RPC_DOMAIN_GET_SECURITY_LABEL_LIST, READ, ARGS(rpc_domain_args), RET(rpc_security_labels_ret), handle_domain_get_security_label_list),
	PROCEDURE(RPC_DOMAIN_GET_EMULATOR_PIN_INFO, READ, ARGS(rpc_emulator_pin_info_args), RET(rpc_pin_info_ret), handle_domain_get_emulator_pin_info),
	PROCEDURE(RPC_CONNECT_LIST_ALL_STORAGE_POOLS, READ, ARGS(rpc_list_args), RET(rpc_networks_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_ALL_NETWORKS, READ, ARGS(rpc_list_args), RET(rpc_networks_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_ALL_INTERFACES, READ, ARGS(rpc_list_args), RET(rpc_interfaces_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_ALL_NODE_DEVICES, READ, ARGS(rpc_list_args), RET(rpc_node_devices_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_ALL_NWFILTERS, READ, ARGS(rpc_list_args), RET(rpc_networks_ret), handle_nothing),
	PROCEDURE(RPC_CONNECT_LIST_ALL_SECRETS, READ, ARGS(rpc_list_args), RET(rpc_secrets_ret), handle_nothing),
	PROCEDURE(RPC_DOMAIN_BLOCK_COMMIT, WRITE, ARGS(rpc_block_commit_args), NO_RET, handle_domain_block_commit),
	PROCEDURE(RPC_NODE_GET_CPU_MAP, READ, ARGS(rpc_node_cpu_map_args), RET(rpc_node_cpu_map_ret), handle_node_get_cpu_map),
	PROCEDURE(RPC_DOMAIN_FSTRIM, WRITE, ARGS(rpc_trim_args), NO_RET, handle_domain_fstrim),
	PROCEDURE(RPC_DOMAIN_OPEN_CHANNEL, WRITE, ARGS(rpc_open_console_args), NO_RET, handle_domain_open_channel),
	PROCEDURE(RPC_DOMAIN_GET_JOB_STATS, READ, ARGS(rpc_domain_flags_args), RET(rpc_job_stats_ret), handle_domain_get_job_stats),
	PROCEDURE(RPC_DOMAIN_MIGRATE_GET_COMPRESSION_CACHE, READ, ARGS(rpc_domain_flags_args), RET(rpc_u64_ret), handle_domain_migrate_get_compression_cache),
	PROCEDURE(RPC_DOMAIN_MIGRATE_SET_COMPRESSION_CACHE, WRITE, ARGS(rpc_migrate_limit_args), NO_RET, handle_domain_migrate_set_compression_cache),
	PROCEDURE(RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, WRITE, ARGS(rpc_domain_params_args), RET(rpc_migrate_begin_ret), handle_domain_migrate_begin3_params),
	PROCEDURE(RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, WRITE, ARGS(rpc_migrate_prepare_args), RET(rpc_migrate_prepare_ret), handle_domain_migrate_prepare3_params),
	PROCEDURE(RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS, WRITE, ARGS(rpc_migrate_prepare_args), RET(rpc_migrate_cookie_ret), handle_domain_migrate_prepare_tunnel3_params),
	PROCEDURE(RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, WRITE, ARGS(rpc_migrate_perform_args), RET(rpc_migrate_cookie_ret), handle_domain_migrate_perform3_params),
	PROCEDURE(RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, WRITE, ARGS(rpc_migrate_finish_args), RET(rpc_migrate_finish_ret), handle_domain_migrate_finish3_params),
	PROCEDURE(RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS, WRITE, ARGS(rpc_migrate_confirm_args), NO_RET, handle_domain_migrate_confirm3_params),
	PROCEDURE(RPC_CONNECT_GET_CPU_MODEL_NAMES, READ, ARGS(rpc_cpu_models_args), RET(rpc_cpu_models_ret), handle_connect_get_cpu_model_names),
	PROCEDURE(RPC_CONNECT_NETWORK_EVENT_REGISTER_ANY, READ, ARGS(rpc_network_event_register_args), RET(rpc_int_ret), handle_register_nothing),
	PROCEDURE(RPC_CONNECT_NETWORK_EVENT_DEREGISTER_ANY, READ, ARGS(rpc_callback_args), NO_RET, handle_deregister_nothing),
	PROCEDURE(RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, READ, ARGS(rpc_event_register_args), RET(rpc_int_ret), handle_connect_domain_event_callback_register_any),
	PROCEDURE(RPC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, READ, ARGS(rpc_callback_args), NO_RET, handle_connect_domain_event_callback_deregister_any),
	PROCEDURE(RPC_DOMAIN_FSFREEZE, WRITE, ARGS(rpc_freeze_args), RET(rpc_int_ret), handle_domain_fsfreeze),
	PROCEDURE(RPC_DOMAIN_FSTHAW, WRITE, ARGS(rpc_freeze_args), RET(rpc_int_ret), handle_domain_fsthaw),
	PROCEDURE(RPC_DOMAIN_GET_TIME, WRITE, ARGS(rpc_domain_flags_args), RET(rpc_guest_time_ret), handle_domain_get_time),
	PROCEDURE(RPC_DOMAIN_SET_TIME, WRITE, ARGS(rpc_set_guest_time_args), NO_RET, handle_domain_set_time),
	PROCEDURE(RPC_CONNECT_GET_DOMAIN_CAPABILITIES, WRITE, ARGS(rpc_domain_capabilities_args), RET(rpc_string_ret), handle_connect_get_domain_capabilities),
	PROCEDURE(RPC_CONNECT_GET_ALL_DOMAIN_STATS, READ, ARGS(rpc_all_domain_stats_args), RET(rpc_all_domain_stats_ret), handle_connect_get_all_domain_stats),
	PROCEDURE(RPC_DOMAIN_GET_FSINFO, WRITE, ARGS(rpc_domain_flags_args), RET(rpc_filesystems_ret), handle_domain_get_fsinfo),
	PROCEDURE(RPC_DOMAIN_DEFINE_XML_FLAGS, WRITE, ARGS(rpc_xml_flags_args), RET(rpc_domain_ret), handle_domain_define_xml_flags),
	PROCEDURE(RPC_DOMAIN_GET_IOTHREAD_INFO, READ, ARGS(rpc_domain_flags_args), RET(rpc_iothreads_ret), handle_domain_get_iothread_info),
	PROCEDURE(RPC_DOMAIN_INTERFACE_ADDRESSES, READ, ARGS(rpc_interface_addresses_args), RET(rpc_interface_addresses_ret), handle_domain_interface_addresses),
	PROCEDURE(RPC_DOMAIN_SET_USER_PASSWORD, WRITE, ARGS(rpc_user_password_args), NO_RET, handle_domain_set_user_password),
	PROCEDURE(RPC_DOMAIN_RENAME, WRITE, ARGS(rpc_rename_args), RET(rpc_int_ret), handle_domain_rename),
	PROCEDURE(RPC_CONNECT_REGISTER_CLOSE_CALLBACK, READ, NO_ARGS, NO_RET, handle_accept),
	PROCEDURE(RPC_CONNECT_UNREGISTER_CLOSE_CALLBACK, READ, NO_ARGS, NO_RET, handle_accept),
	PROCEDURE(RPC_DOMAIN_MIGRATE_START_POST_COPY, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_migrate_start_post_copy),
	PROCEDURE(RPC_CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY, READ, ARGS(rpc_network_event_register_args), RET(rpc_int_ret), handle_register_nothing),
	PROCEDURE(RPC_CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY, READ, ARGS(rpc_callback_args), NO_RET, handle_deregister_nothing),
	PROCEDURE(RPC_CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY, READ, ARGS(rpc_node_device_event_register_args), RET(rpc_int_ret), handle_register_nothing),
	PROCEDURE(RPC_CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY, READ, ARGS(rpc_callback_args), NO_RET, handle_deregister_nothing),
	PROCEDURE(RPC_CONNECT_SECRET_EVENT_REGISTER_ANY, READ, ARGS(rpc_secret_event_register_args), RET(rpc_int_ret), handle_register_nothing),
	PROCEDURE(RPC_CONNECT_SECRET_EVENT_DEREGISTER_ANY, READ, ARGS(rpc_callback_args), NO_RET, handle_deregister_nothing),
	PROCEDURE(RPC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME, READ, ARGS(rpc_domain_flags_args), RET(rpc_u64_ret), handle_domain_migrate_get_max_downtime),
	PROCEDURE(RPC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, READ, ARGS(rpc_domain_flags_args), RET(rpc_string_ret), handle_domain_managed_save_get_xml_desc),
	PROCEDURE(RPC_DOMAIN_MANAGED_SAVE_DEFINE_XML, WRITE, ARGS(rpc_managed_save_define_args), NO_RET, handle_domain_managed_save_define_xml),
	PROCEDURE(RPC_STORAGE_POOL_LOOKUP_BY_TARGET_PATH, READ, ARGS(rpc_name_args), NO_RET, handle_no_pool),
	PROCEDURE(RPC_DOMAIN_DETACH_DEVICE_ALIAS, WRITE, ARGS(rpc_device_flags_args), NO_RET, handle_domain_detach_device_alias),
	PROCEDURE(RPC_CONNECT_LIST_ALL_NWFILTER_BINDINGS, READ, ARGS(rpc_list_args), RET(rpc_nwfilter_bindings_ret), handle_nothing),
	PROCEDURE(RPC_DOMAIN_LIST_ALL_CHECKPOINTS, READ, ARGS(rpc_domain_list_args), RET(rpc_snapshots_ret), handle_nothing_of_domain),
	PROCEDURE(RPC_DOMAIN_CHECKPOINT_LOOKUP_BY_NAME, READ, ARGS(rpc_domain_path_flags_args), RET(rpc_snapshot_ret), handle_no_checkpoint),
	PROCEDURE(RPC_DOMAIN_GET_GUEST_INFO, WRITE, ARGS(rpc_guest_info_args), RET(rpc_guest_info_ret), handle_domain_get_guest_info),
	PROCEDURE(RPC_DOMAIN_AGENT_SET_RESPONSE_TIMEOUT, WRITE, ARGS(rpc_agent_timeout_args), RET(rpc_int_ret), handle_domain_agent_set_response_timeout),
	PROCEDURE(RPC_DOMAIN_GET_MESSAGES, READ, ARGS(rpc_domain_flags_args), RET(rpc_domain_messages_ret), handle_domain_get_messages),
	PROCEDURE(RPC_DOMAIN_SAVE_PARAMS, WRITE, ARGS(rpc_domain_params_args), NO_RET, handle_domain_save_params),
	PROCEDURE(RPC_DOMAIN_RESTORE_PARAMS, WRITE, ARGS(rpc_params_args), NO_RET, handle_domain_restore_params),
	PROCEDURE(RPC_DOMAIN_ABORT_JOB_FLAGS, WRITE, ARGS(rpc_domain_flags_args), NO_RET, handle_domain_abort_job_flags),
	PROCEDURE(RPC_DOMAIN_GET_AUTOSTART_ONCE, READ, ARGS(rpc_domain_args), RET(rpc_int_ret), handle_domain_get_autostart_once),
	PROCEDURE(RPC_DOMAIN_SET_AUTOSTART_ONCE, WRITE, ARGS(rpc_domain_int_args), NO_RET, handle_domain_set_autostart_once),
};

static const struct procedure qemu_procedures[] = {
	PROCEDURE(RPC_QEMU_MONITOR_COMMAND, WRITE, ARGS(rpc_monitor_command_args), RET(rpc_string_ret), handle_qemu_monitor_command),
	PROCEDURE(RPC_QEMU_AGENT_COMMAND, WRITE, ARGS(rpc_agent_command_args), RET(rpc_agent_command_ret), handle_qemu_agent_command),
	PROCEDURE(RPC_QEMU_MONITOR_EVENT_REGISTER, WRITE, ARGS(rpc_monitor_event_register_args), RET(rpc_int_ret), handle_qemu_monitor_event_register),
	PROCEDURE(RPC_QEMU_MONITOR_EVENT_DEREGISTER, WRITE, ARGS(rpc_callback_args), NO_RET, handle_qemu_monitor_event_deregister),
};

static const struct procedure godwit_procedures[] = {
	PROCEDURE(RPC_GODWIT_LEASE_LIST, READ, ARGS(rpc_flags_args), RET(rpc_leases_ret), handle_lease_list),
	PROCEDURE(RPC_GODWIT_LEASE_SHOW, READ, ARGS(rpc_domain_args), RET(rpc_lease_show_ret), handle_lease_show),
	PROCEDURE(RPC_GODWIT_LEASE_LOST, WRITE, ARGS(rpc_uuid_args), NO_RET, handle_lease_lost),
	PROCEDURE(RPC_GODWIT_PATHS, WRITE, NO_ARGS, RET(rpc_paths_ret), handle_paths),
	PROCEDURE(RPC_GODWIT_DOMAIN_CLONE, WRITE, ARGS(rpc_clone_args), RET(rpc_clone_ret), handle_domain_clone),
	PROCEDURE(RPC_GODWIT_RESTORE_INFO, READ, ARGS(rpc_domain_args), RET(rpc_restore_info_ret), handle_restore_info),
	PROCEDURE(RPC_GODWIT_DOMAIN_START, WRITE, ARGS(rpc_godwit_start_args), RET(rpc_domain_ret), handle_godwit_start),
	PROCEDURE(RPC_GODWIT_DOMAIN_RESTORE, WRITE, ARGS(rpc_godwit_restore_args), NO_RET, handle_godwit_restore),
	PROCEDURE(RPC_GODWIT_RESTORE_HURRY, WRITE, ARGS(rpc_domain_args), NO_RET, handle_restore_hurry),
	PROCEDURE(RPC_GODWIT_SNAPSHOT_LIST, READ, ARGS(rpc_domain_args), RET(rpc_snapshot_items_ret), handle_godwit_snapshot_list),
	PROCEDURE(RPC_GODWIT_SNAPSHOT_CREATE, WRITE, ARGS(rpc_godwit_snapshot_args), RET(rpc_snapshot_ret), handle_godwit_snapshot_create),
	PROCEDURE(RPC_GODWIT_MIGRATE_RESOLVE, WRITE, ARGS(rpc_domain_args), NO_RET, handle_migrate_resolve),
	PROCEDURE(RPC_GODWIT_MIGRATE_CHECK, WRITE, ARGS(rpc_migrate_check_args), RET(rpc_string_ret), handle_godwit_migrate_check),
	PROCEDURE(RPC_GODWIT_MIGRATE_COMPARE, WRITE, ARGS(rpc_json_args), RET(rpc_string_ret), handle_godwit_migrate_compare),
};
/* clang-format on */

const struct procedure *procedure_table(uint32_t program, size_t *ret_n)
{
	switch (program) {
	case RPC_PROGRAM_REMOTE:
		*ret_n = ARRAY_SIZE(remote_procedures);
		return remote_procedures;
	case RPC_PROGRAM_QEMU:
		*ret_n = ARRAY_SIZE(qemu_procedures);
		return qemu_procedures;
	case RPC_PROGRAM_GODWIT:
		*ret_n = ARRAY_SIZE(godwit_procedures);
		return godwit_procedures;
	default:
		return NULL;
	}
}

const struct procedure *procedure_find(uint32_t program, int number)
{
	size_t low = 0, high, middle;
	const struct procedure *table = procedure_table(program, &high);

	if (!table)
		return NULL;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (table[middle].number == number)
			return &table[middle];
		if (table[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Words that libvirt writes in capitals. */
static bool is_acronym(const char *word, size_t len)
{
	static const char *const acronyms[] = {"XML", "ID", "UUID", "URI", "OS", "NMI", "CPU"};

	for (size_t i = 0; i < ARRAY_SIZE(acronyms); i++)
		if (strlen(acronyms[i]) == len && memcmp(acronyms[i], word, len) == 0)
			return true;
	return false;
}

void procedure_api_name(const struct procedure *p, char text[80])
{
	const char *word = p->name + strlen("RPC_");
	size_t n = 0, len;

	text[n++] = 'v';
	text[n++] = 'i';
	text[n++] = 'r';
	while (*word) {
		len = strcspn(word, "_");
		for (size_t i = 0; i < len && n < 79; i++)
			text[n++] = i == 0 || is_acronym(word, len) ? word[i]
								    : (char)tolower((unsigned char)word[i]);
		word += len;
		if (*word == '_')
			word++;
	}
	text[n] = '\0';
}
