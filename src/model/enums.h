/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words that stand for enum values in domain XML: one table for each enum, used both ways. */
#pragma once

#include <stdbool.h>

struct enum_names {
	const char *const *names; /* by value; NULL or "": this value has no word */
	unsigned n;
};

bool enum_parse(const struct enum_names *e, const char *text, unsigned *ret);
const char *enum_name(const struct enum_names *e, unsigned value); /* "" when it has none */

extern const struct enum_names domain_type_names, lifecycle_names, lockfailure_names;
extern const struct enum_names firmware_names, loader_type_names, boot_device_names;
extern const struct enum_names cpu_mode_names, cpu_match_names, cpu_check_names, cpu_fallback_names,
	cpu_policy_names;
extern const struct enum_names clock_offset_names, timer_names, tickpolicy_names, track_names;
extern const struct enum_names disk_device_names, disk_bus_names, disk_source_names, disk_format_names,
	disk_cache_names, disk_io_names, disk_discard_names, disk_detect_zeroes_names,
	disk_error_policy_names, disk_rerror_policy_names, disk_tray_names;
extern const struct enum_names controller_type_names, controller_model_names;
extern const struct enum_names nic_type_names, nic_link_names;
extern const struct enum_names chardev_backend_names, serial_target_names, console_target_names,
	channel_target_names;
extern const struct enum_names input_type_names, input_bus_names;
extern const struct enum_names graphics_type_names, audio_type_names;
extern const struct enum_names video_type_names, rng_backend_names, memballoon_names, watchdog_model_names,
	watchdog_action_names, panic_names, tpm_model_names, iommu_names, address_type_names;

extern const struct enum_names snapshot_state_names, snapshot_location_names;

/* For strings that must be one of a few words. */
extern const struct enum_names snapshot_words, raw_words, image_format_words, ioapic_words, nic_model_words,
	nic_driver_words, share_policy_words, image_compression_words, rng_model_words, tpm_version_words;
