/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vocabulary of domain XML (libvirt's, docs/formatdomain). */
#include "enums.h"

#include "domain.h"
#include "snapshot.h"
#include "strv.h"

/* The assertion keeps enum and words in step. */
#define NAMES(variable, count, ...)                                                                          \
	static const char *const variable##_[] = {__VA_ARGS__};                                              \
	const struct enum_names variable = {variable##_, ARRAY_SIZE(variable##_)};                           \
	_Static_assert(ARRAY_SIZE(variable##_) == (count), #variable " and its enum disagree")

NAMES(domain_type_names, DOMAIN_TYPE_MAX_, "qemu", "kvm");
NAMES(lifecycle_names, LIFECYCLE_MAX_, "destroy", "restart", "preserve", "rename-restart", "coredump-destroy",
	"coredump-restart");
NAMES(lockfailure_names, LOCKFAILURE_MAX_, "", "poweroff", "restart", "pause", "ignore");

NAMES(firmware_names, FIRMWARE_MAX_, "", "bios", "efi");
NAMES(loader_type_names, LOADER_TYPE_MAX_, "", "rom", "pflash");
NAMES(boot_device_names, BOOT_DEVICE_MAX_, "hd", "cdrom", "network", "fd");

NAMES(cpu_mode_names, CPU_MODE_MAX_, "", "custom", "host-model", "host-passthrough", "maximum");
NAMES(cpu_match_names, CPU_MATCH_MAX_, "", "minimum", "exact", "strict");
NAMES(cpu_check_names, CPU_CHECK_MAX_, "", "none", "partial", "full");
NAMES(cpu_fallback_names, CPU_FALLBACK_MAX_, "", "allow", "forbid");
NAMES(cpu_policy_names, CPU_POLICY_MAX_, "force", "require", "optional", "disable", "forbid");

NAMES(clock_offset_names, CLOCK_OFFSET_MAX_, "utc", "localtime", "timezone", "variable", "absolute");
NAMES(timer_names, TIMER_NAME_MAX_, "platform", "pit", "rtc", "hpet", "tsc", "kvmclock", "hypervclock");
NAMES(tickpolicy_names, TICKPOLICY_MAX_, "", "delay", "catchup", "merge", "discard");
NAMES(track_names, TRACK_MAX_, "", "boot", "guest", "wall");

NAMES(disk_device_names, DISK_DEVICE_MAX_, "disk", "cdrom", "floppy", "lun");
NAMES(disk_bus_names, DISK_BUS_MAX_, "", "ide", "fdc", "scsi", "virtio", "usb", "sata");
NAMES(disk_source_names, DISK_SOURCE_MAX_, "file", "block");
NAMES(disk_format_names, DISK_FORMAT_MAX_, "", "raw", "qcow2");
NAMES(disk_cache_names, DISK_CACHE_MAX_, "", "none", "writethrough", "writeback", "directsync", "unsafe");
NAMES(disk_io_names, DISK_IO_MAX_, "", "native", "threads", "io_uring");
NAMES(disk_discard_names, DISK_DISCARD_MAX_, "", "unmap", "ignore");
NAMES(disk_detect_zeroes_names, DISK_DETECT_ZEROES_MAX_, "", "off", "on", "unmap");
NAMES(disk_error_policy_names, DISK_ERROR_MAX_, "", "stop", "report", "ignore", "enospace");
NAMES(disk_rerror_policy_names, DISK_ERROR_MAX_, "", "stop", "report", "ignore", "");
NAMES(disk_tray_names, DISK_TRAY_MAX_, "closed", "open");

NAMES(controller_type_names, CONTROLLER_TYPE_MAX_, "ide", "fdc", "scsi", "sata", "virtio-serial", "usb",
	"pci");
NAMES(controller_model_names, CONTROLLER_MODEL_MAX_, "", "pci-root", "pcie-root", "pcie-root-port",
	"pci-bridge", "pcie-to-pci-bridge", "dmi-to-pci-bridge", "pcie-switch-upstream-port",
	"pcie-switch-downstream-port", "piix3-uhci", "ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3",
	"qemu-xhci", "nec-xhci", "none", "virtio-scsi", "lsilogic", "virtio", "virtio-transitional",
	"virtio-non-transitional");

NAMES(nic_type_names, NIC_TYPE_MAX_, "user", "bridge", "ethernet", "network");
NAMES(nic_link_names, 3, "", "up", "down");

NAMES(chardev_backend_names, CHARDEV_BACKEND_MAX_, "pty", "file", "unix", "tcp", "null", "stdio", "dev",
	"pipe", "spicevmc");
NAMES(serial_target_names, CHARDEV_TARGET_MAX_, "", "isa-serial", "pci-serial", "usb-serial", "", "");
NAMES(console_target_names, CHARDEV_TARGET_MAX_, "", "", "", "", "serial", "virtio");
NAMES(channel_target_names, CHARDEV_TARGET_MAX_, "", "", "", "", "", "virtio");

NAMES(input_type_names, INPUT_TYPE_MAX_, "mouse", "tablet", "keyboard");
NAMES(input_bus_names, INPUT_BUS_MAX_, "", "ps2", "usb", "virtio");
NAMES(graphics_type_names, GRAPHICS_TYPE_MAX_, "vnc", "spice");
NAMES(audio_type_names, AUDIO_TYPE_MAX_, "", "none", "spice");
NAMES(video_type_names, VIDEO_TYPE_MAX_, "", "none", "vga", "cirrus", "qxl", "virtio", "bochs", "ramfb",
	"vmvga");
NAMES(rng_backend_names, RNG_BACKEND_MAX_, "random", "builtin");
NAMES(memballoon_names, MEMBALLOON_MAX_, "virtio", "none", "virtio-transitional", "virtio-non-transitional");
NAMES(watchdog_model_names, WATCHDOG_MODEL_MAX_, "i6300esb", "ib700", "itco");
NAMES(watchdog_action_names, WATCHDOG_ACTION_MAX_, "reset", "shutdown", "poweroff", "pause", "none", "dump",
	"inject-nmi");
NAMES(panic_names, PANIC_MODEL_MAX_, "", "isa", "hyperv", "pvpanic");
NAMES(tpm_model_names, TPM_MODEL_MAX_, "", "tpm-tis", "tpm-crb");
NAMES(iommu_names, IOMMU_MODEL_MAX_, "intel", "virtio");
NAMES(address_type_names, ADDRESS_TYPE_MAX_, "", "pci", "drive", "virtio-serial", "usb", "isa");

NAMES(snapshot_state_names, SNAPSHOT_STATE_MAX_, "nostate", "running", "blocked", "paused", "shutdown",
	"shutoff", "crashed", "pmsuspended", "disk-snapshot");
NAMES(snapshot_location_names, SNAPSHOT_LOCATION_MAX_, "", "no", "internal", "external", "manual");

NAMES(snapshot_words, 4, "no", "internal", "external", "manual");
NAMES(raw_words, 1, "raw");
NAMES(image_format_words, 2, "raw", "qcow2");
NAMES(ioapic_words, 2, "kvm", "qemu");
NAMES(nic_model_words, 6, "virtio", "virtio-transitional", "virtio-non-transitional", "e1000e", "e1000",
	"rtl8139");
NAMES(nic_driver_words, 2, "qemu", "vhost");
NAMES(share_policy_words, 3, "allow-exclusive", "force-shared", "ignore");
NAMES(image_compression_words, 6, "auto_glz", "auto_lz", "quic", "glz", "lz", "off");
NAMES(rng_model_words, 3, "virtio", "virtio-transitional", "virtio-non-transitional");
NAMES(tpm_version_words, 2, "1.2", "2.0");

bool enum_parse(const struct enum_names *e, const char *text, unsigned *ret)
{
	for (unsigned i = 0; i < e->n; i++)
		if (e->names[i] && *e->names[i] && streq(e->names[i], text)) {
			*ret = i;
			return true;
		}
	return false;
}

const char *enum_name(const struct enum_names *e, unsigned value)
{
	return value < e->n && e->names[value] ? e->names[value] : "";
}

#define NAME_FUNCTION(function, type, table)                                                                 \
	const char *function(enum type v)                                                                    \
	{                                                                                                    \
		return enum_name(&table, v);                                                                 \
	}

NAME_FUNCTION(disk_bus_name, disk_bus, disk_bus_names)
NAME_FUNCTION(disk_device_name, disk_device, disk_device_names)
NAME_FUNCTION(disk_format_name, disk_format, disk_format_names)
NAME_FUNCTION(disk_cache_name, disk_cache, disk_cache_names)
NAME_FUNCTION(disk_io_name, disk_io, disk_io_names)
NAME_FUNCTION(disk_discard_name, disk_discard, disk_discard_names)
NAME_FUNCTION(disk_detect_zeroes_name, disk_detect_zeroes, disk_detect_zeroes_names)
NAME_FUNCTION(disk_error_policy_name, disk_error_policy, disk_error_policy_names)
NAME_FUNCTION(controller_type_name, controller_type, controller_type_names)
NAME_FUNCTION(controller_model_name, controller_model, controller_model_names)
NAME_FUNCTION(nic_type_name, nic_type, nic_type_names)
NAME_FUNCTION(chardev_backend_name, chardev_backend, chardev_backend_names)
NAME_FUNCTION(video_type_name, video_type, video_type_names)
NAME_FUNCTION(watchdog_model_name, watchdog_model, watchdog_model_names)
NAME_FUNCTION(watchdog_action_name, watchdog_action, watchdog_action_names)
NAME_FUNCTION(lifecycle_action_name, lifecycle_action, lifecycle_names)
NAME_FUNCTION(timer_name_name, timer_name, timer_names)
NAME_FUNCTION(snapshot_state_name, snapshot_state, snapshot_state_names)
NAME_FUNCTION(snapshot_location_name, snapshot_location, snapshot_location_names)
