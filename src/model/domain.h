/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain: what a user describes in libvirt's domain XML. Plain data.
 *
 * Conventions: sizes that end in _kib are KiB (1024 bytes); an enum's first value means "not said" unless it
 * says otherwise; `enum tristate` is <x state='on|off'/> or yes/no; strings are owned and NULL when absent.
 * size: one list of everything a description can hold, with nothing between its lines.
 *
 * The vocabulary (element, attribute and value names) is libvirt's, docs/formatdomain.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "device.h"
#include "error.h"

enum tristate { TRISTATE_ABSENT, TRISTATE_ON, TRISTATE_OFF };

enum domain_type { DOMAIN_TYPE_QEMU, DOMAIN_TYPE_KVM, DOMAIN_TYPE_MAX_ };
enum lifecycle_action {
	LIFECYCLE_DESTROY,
	LIFECYCLE_RESTART,
	LIFECYCLE_PRESERVE,
	LIFECYCLE_RENAME_RESTART,
	LIFECYCLE_COREDUMP_DESTROY,
	LIFECYCLE_COREDUMP_RESTART,
	LIFECYCLE_MAX_,
};
enum lockfailure_action {
	LOCKFAILURE_DEFAULT,
	LOCKFAILURE_POWEROFF,
	LOCKFAILURE_RESTART,
	LOCKFAILURE_PAUSE,
	LOCKFAILURE_IGNORE,
	LOCKFAILURE_MAX_
};

/* ---- operating system ---- */
enum firmware { FIRMWARE_NONE, FIRMWARE_BIOS, FIRMWARE_EFI, FIRMWARE_MAX_ };
enum loader_type { LOADER_DEFAULT, LOADER_ROM, LOADER_PFLASH, LOADER_TYPE_MAX_ };
enum boot_device { BOOT_HD, BOOT_CDROM, BOOT_NETWORK, BOOT_FD, BOOT_DEVICE_MAX_ };

struct domain_os {
	char *arch;    /* "x86_64" */
	char *machine; /* as given; the canonical name ("pc-q35-10.0") once defined */
	enum firmware firmware;
	/* <firmware><feature name=.../>: what the firmware must have (ON) or must not have (OFF) */
	enum tristate firmware_secure_boot, firmware_enrolled_keys;
	char *loader; /* path */
	enum loader_type loader_type;
	enum tristate loader_readonly;
	enum tristate loader_secure;
	char *loader_format; /* raw, qcow2; NULL raw */
	char *nvram;	     /* path */
	char *nvram_template;
	char *nvram_template_format; /* raw, or NULL, which is the same */
	char *nvram_format;
	char *kernel, *initrd, *cmdline;
	enum boot_device boot[BOOT_DEVICE_MAX_];
	unsigned n_boot;
	enum tristate boot_menu;
	uint32_t boot_menu_timeout_ms;
	bool has_boot_menu_timeout;
	enum tristate bios_useserial;
	int64_t reboot_timeout_ms; /* -1: never */
	bool has_reboot_timeout;
};

/* ---- features, CPU, clock ---- */
struct domain_features {
	enum tristate acpi, apic, pae, hap; /* <acpi/> present: ON */
	enum tristate vmport, smm, kvm_hidden, pmu;
	bool hyperv; /* <hyperv> present */
	enum tristate hyperv_relaxed, hyperv_vapic, hyperv_vpindex, hyperv_runtime, hyperv_synic,
		hyperv_stimer, hyperv_reset, hyperv_frequencies;
	enum tristate hyperv_spinlocks;
	uint32_t hyperv_spinlock_retries;
	char *ioapic_driver; /* kvm, qemu */
};

enum cpu_mode {
	CPU_MODE_NONE,
	CPU_MODE_CUSTOM,
	CPU_MODE_HOST_MODEL,
	CPU_MODE_HOST_PASSTHROUGH,
	CPU_MODE_MAXIMUM,
	CPU_MODE_MAX_
};
enum cpu_match { CPU_MATCH_DEFAULT, CPU_MATCH_MINIMUM, CPU_MATCH_EXACT, CPU_MATCH_STRICT, CPU_MATCH_MAX_ };
enum cpu_check { CPU_CHECK_DEFAULT, CPU_CHECK_NONE, CPU_CHECK_PARTIAL, CPU_CHECK_FULL, CPU_CHECK_MAX_ };
enum cpu_fallback { CPU_FALLBACK_DEFAULT, CPU_FALLBACK_ALLOW, CPU_FALLBACK_FORBID, CPU_FALLBACK_MAX_ };
enum cpu_policy {
	CPU_POLICY_FORCE,
	CPU_POLICY_REQUIRE,
	CPU_POLICY_OPTIONAL,
	CPU_POLICY_DISABLE,
	CPU_POLICY_FORBID,
	CPU_POLICY_MAX_
};

struct cpu_feature {
	char *name;
	enum cpu_policy policy;
};

struct domain_cpu {
	bool present; /* a <cpu> element was given */
	enum cpu_mode mode;
	enum cpu_match match;
	enum cpu_check check;
	enum tristate migratable;
	char *model;
	enum cpu_fallback fallback;
	char *vendor;
	bool has_topology;
	uint32_t sockets, dies, clusters, cores, threads;
	VEC(struct cpu_feature) features;
};

enum clock_offset {
	CLOCK_UTC,
	CLOCK_LOCALTIME,
	CLOCK_TIMEZONE,
	CLOCK_VARIABLE,
	CLOCK_ABSOLUTE,
	CLOCK_OFFSET_MAX_
};
enum timer_name {
	TIMER_PLATFORM,
	TIMER_PIT,
	TIMER_RTC,
	TIMER_HPET,
	TIMER_TSC,
	TIMER_KVMCLOCK,
	TIMER_HYPERVCLOCK,
	TIMER_NAME_MAX_
};
enum timer_tickpolicy {
	TICKPOLICY_ABSENT,
	TICKPOLICY_DELAY,
	TICKPOLICY_CATCHUP,
	TICKPOLICY_MERGE,
	TICKPOLICY_DISCARD,
	TICKPOLICY_MAX_
};
enum timer_track { TRACK_ABSENT, TRACK_BOOT, TRACK_GUEST, TRACK_WALL, TRACK_MAX_ };

struct domain_timer {
	enum timer_name name;
	enum tristate present;
	enum timer_tickpolicy tickpolicy;
	enum timer_track track;
	uint64_t frequency_hz; /* 0 none */
};

struct domain_clock {
	enum clock_offset offset;
	char *timezone;
	int64_t adjustment_s; /* variable: seconds from basis */
	bool basis_localtime;
	int64_t start_s; /* absolute: seconds since 1970 */
	VEC(struct domain_timer) timers;
};

/* ---- devices ---- */
enum disk_device { DISK_DISK, DISK_CDROM, DISK_FLOPPY, DISK_LUN, DISK_DEVICE_MAX_ };
enum disk_bus {
	DISK_BUS_NONE,
	DISK_BUS_IDE,
	DISK_BUS_FDC,
	DISK_BUS_SCSI,
	DISK_BUS_VIRTIO,
	DISK_BUS_USB,
	DISK_BUS_SATA,
	DISK_BUS_MAX_
};
enum disk_source { DISK_SOURCE_FILE, DISK_SOURCE_BLOCK, DISK_SOURCE_MAX_ };
enum disk_format { DISK_FORMAT_NONE, DISK_FORMAT_RAW, DISK_FORMAT_QCOW2, DISK_FORMAT_MAX_ };
enum disk_cache {
	DISK_CACHE_DEFAULT,
	DISK_CACHE_NONE,
	DISK_CACHE_WRITETHROUGH,
	DISK_CACHE_WRITEBACK,
	DISK_CACHE_DIRECTSYNC,
	DISK_CACHE_UNSAFE,
	DISK_CACHE_MAX_
};
enum disk_io { DISK_IO_DEFAULT, DISK_IO_NATIVE, DISK_IO_THREADS, DISK_IO_URING, DISK_IO_MAX_ };
enum disk_discard { DISK_DISCARD_DEFAULT, DISK_DISCARD_UNMAP, DISK_DISCARD_IGNORE, DISK_DISCARD_MAX_ };
enum disk_detect_zeroes {
	DISK_DETECT_ZEROES_DEFAULT,
	DISK_DETECT_ZEROES_OFF,
	DISK_DETECT_ZEROES_ON,
	DISK_DETECT_ZEROES_UNMAP,
	DISK_DETECT_ZEROES_MAX_
};
enum disk_error_policy {
	DISK_ERROR_DEFAULT,
	DISK_ERROR_STOP,
	DISK_ERROR_REPORT,
	DISK_ERROR_IGNORE,
	DISK_ERROR_ENOSPACE,
	DISK_ERROR_MAX_
};
enum disk_tray { DISK_TRAY_CLOSED, DISK_TRAY_OPEN, DISK_TRAY_MAX_ };

enum { DISK_CHAIN_MAX = 200 }; /* images below a disk's source, as libvirt counts them */

/* An image that another one stands on. */
struct disk_layer {
	enum disk_source source_type;
	char *source;
	enum disk_format format; /* NONE means raw */
	uint32_t node;		 /* as in struct disk */
};

struct disk {
	enum disk_device device;
	enum disk_bus bus;
	enum disk_source source_type;
	char *source;		 /* NULL: empty drive (cdrom, floppy) */
	char *target;		 /* "vda"; unique */
	enum disk_format format; /* NONE means raw */
	enum disk_cache cache;
	enum disk_io io;
	enum disk_discard discard;
	enum disk_detect_zeroes detect_zeroes;
	enum disk_error_policy error_policy, rerror_policy;
	enum tristate copy_on_read;
	uint32_t queues;
	bool readonly, shareable, transient;
	enum disk_tray tray;
	enum tristate removable;
	char *serial, *wwn, *vendor, *product;
	uint32_t rotation_rate;
	uint32_t logical_block_size, physical_block_size; /* 0 not said */
	char *snapshot;					  /* no, internal, external, manual; NULL */
	struct device_info info;
	uint32_t node; /* number of its block nodes in a QEMU (argv.h); 0: not yet given. In live XML only */
	/*
	 * <backingStore>: what `source` stands on, the nearest first. `backing_known`: that is all of it; else the images' headers say, and are
	 * asked before QEMU starts. `backing_given`: a user wrote it, so it is in inactive XML too, and headers are not asked about it.
	 */
	VEC(struct disk_layer) backing;
	bool backing_known, backing_given;
};

/* <lease>: something in a lock manager's keeping that the VM must hold while it runs (src/lease). */
struct lease_element {
	char *lockspace, *key; /* each is also a file name: no '/', not "." or ".." */
	char *path;	       /* <target path=...> */
	uint64_t offset;       /* bytes into `path`; 0 not said */
};

enum controller_type {
	CONTROLLER_IDE,
	CONTROLLER_FDC,
	CONTROLLER_SCSI,
	CONTROLLER_SATA,
	CONTROLLER_VIRTIO_SERIAL,
	CONTROLLER_USB,
	CONTROLLER_PCI,
	CONTROLLER_TYPE_MAX_
};
enum controller_model {
	CONTROLLER_MODEL_DEFAULT,
	/* pci */
	CONTROLLER_PCI_ROOT,
	CONTROLLER_PCIE_ROOT,
	CONTROLLER_PCIE_ROOT_PORT,
	CONTROLLER_PCI_BRIDGE,
	CONTROLLER_PCIE_TO_PCI_BRIDGE,
	CONTROLLER_DMI_TO_PCI_BRIDGE,
	CONTROLLER_PCIE_UPSTREAM,
	CONTROLLER_PCIE_DOWNSTREAM,
	/* usb */
	CONTROLLER_PIIX3_UHCI,
	CONTROLLER_ICH9_EHCI1,
	CONTROLLER_ICH9_UHCI1,
	CONTROLLER_ICH9_UHCI2,
	CONTROLLER_ICH9_UHCI3,
	CONTROLLER_QEMU_XHCI,
	CONTROLLER_NEC_XHCI,
	CONTROLLER_USB_NONE,
	/* scsi */
	CONTROLLER_VIRTIO_SCSI,
	CONTROLLER_LSILOGIC,
	/* virtio flavours */
	CONTROLLER_VIRTIO,
	CONTROLLER_VIRTIO_TRANSITIONAL,
	CONTROLLER_VIRTIO_NON_TRANSITIONAL,
	CONTROLLER_MODEL_MAX_,
};

struct controller {
	enum controller_type type;
	enum controller_model model;
	uint32_t index;
	uint32_t ports; /* usb, virtio-serial; 0 not said */
	uint32_t vectors;
	bool has_ports, has_vectors;
	uint32_t queues;		   /* virtio-scsi */
	int32_t usb_master_startport;	   /* ich9 companions; -1 none */
	char *pci_model_name;		   /* <model name='pcie-root-port'/> */
	int32_t chassis, port, chassis_nr; /* <target>; -1 not said */
	enum tristate hotplug;
	struct device_info info;
};

enum nic_type { NIC_USER, NIC_BRIDGE, NIC_ETHERNET, NIC_NETWORK, NIC_TYPE_MAX_ };

struct nic {
	enum nic_type type;
	uint8_t mac[6];
	bool has_mac;
	char *model;	     /* virtio, e1000e, e1000, rtl8139; NULL not said */
	char *source;	     /* bridge or network name */
	char *target;	     /* tap device name */
	bool target_managed; /* ethernet: managed='no' clears it; default true */
	char *script;	     /* refused unless absent or "no" */
	enum tristate link;  /* ON up, OFF down */
	uint32_t mtu;
	char *driver_name; /* qemu, vhost */
	uint32_t queues;
	uint32_t rx_queue_size, tx_queue_size;
	struct device_info info;
};

enum chardev_kind { CHARDEV_SERIAL, CHARDEV_CONSOLE, CHARDEV_CHANNEL, CHARDEV_PARALLEL, CHARDEV_KIND_MAX_ };
enum chardev_backend {
	CHARDEV_PTY,
	CHARDEV_FILE,
	CHARDEV_UNIX,
	CHARDEV_TCP,
	CHARDEV_NULL,
	CHARDEV_STDIO,
	CHARDEV_DEV,
	CHARDEV_PIPE,
	CHARDEV_SPICEVMC,
	CHARDEV_BACKEND_MAX_
};
enum chardev_target {
	CHARDEV_TARGET_DEFAULT,
	CHARDEV_TARGET_ISA_SERIAL,
	CHARDEV_TARGET_PCI_SERIAL,
	CHARDEV_TARGET_USB_SERIAL,
	CHARDEV_TARGET_SERIAL,
	CHARDEV_TARGET_VIRTIO,
	CHARDEV_TARGET_MAX_
};

struct chardev {
	enum chardev_kind kind;
	enum chardev_backend backend;
	char *path;	      /* file, unix, dev, pipe; pty: the path in use, live only */
	char *host, *service; /* tcp */
	bool listen;	      /* <source mode='bind'> */
	enum tristate append;
	char *log_file;
	enum tristate log_append;
	enum chardev_target target;
	char *target_model; /* "isa-serial", "pci-serial" */
	uint32_t port;
	bool has_port;
	char *name;  /* channel: "org.qemu.guest_agent.0" */
	char *state; /* channel, live: connected, disconnected */
	struct device_info info;
};

enum input_type { INPUT_MOUSE, INPUT_TABLET, INPUT_KEYBOARD, INPUT_TYPE_MAX_ };
enum input_bus { INPUT_BUS_DEFAULT, INPUT_BUS_PS2, INPUT_BUS_USB, INPUT_BUS_VIRTIO, INPUT_BUS_MAX_ };

struct input {
	enum input_type type;
	enum input_bus bus;
	struct device_info info;
};

struct hub { /* USB */
	struct device_info info;
};

enum graphics_type { GRAPHICS_VNC, GRAPHICS_SPICE, GRAPHICS_TYPE_MAX_ };

struct graphics {
	enum graphics_type type;
	int32_t port;	  /* -1 not said */
	int32_t tls_port; /* spice; -1 not said */
	bool autoport;
	char *listen; /* address; NULL: the default, 127.0.0.1 */
	char *socket; /* <listen type='socket'>: path */
	bool listen_none;
	char *password;
	char *keymap;
	char *share_policy;
	int32_t websocket;	 /* 0 none, -1 auto */
	char *image_compression; /* spice: off, auto_glz, ... ; NULL not said */
};

/* <audio id='1'>: where sound devices would play; none of them exist here yet. The guest cannot see it. */
enum audio_type { AUDIO_ABSENT, AUDIO_NONE, AUDIO_SPICE, AUDIO_TYPE_MAX_ };

enum video_type {
	VIDEO_DEFAULT,
	VIDEO_NONE,
	VIDEO_VGA,
	VIDEO_CIRRUS,
	VIDEO_QXL,
	VIDEO_VIRTIO,
	VIDEO_BOCHS,
	VIDEO_RAMFB,
	VIDEO_VMVGA,
	VIDEO_TYPE_MAX_
};

struct video {
	enum video_type type;
	uint32_t ram_kib, vram_kib, vgamem_kib, vram64_kib; /* 0 not said */
	uint32_t heads;					    /* 0 not said */
	bool primary;
	struct device_info info;
};

enum rng_backend { RNG_RANDOM, RNG_BUILTIN, RNG_BACKEND_MAX_ };

struct rng {
	enum rng_backend backend;
	char *path;			     /* random: /dev/urandom */
	char *model;			     /* virtio */
	uint32_t rate_bytes, rate_period_ms; /* 0 none */
	struct device_info info;
};

enum memballoon_model {
	MEMBALLOON_VIRTIO,
	MEMBALLOON_NONE,
	MEMBALLOON_VIRTIO_TRANSITIONAL,
	MEMBALLOON_VIRTIO_NON_TRANSITIONAL,
	MEMBALLOON_MAX_
};

struct memballoon {
	enum memballoon_model model;
	enum tristate autodeflate, free_page_reporting;
	uint32_t stats_period_s;
	struct device_info info;
};

enum watchdog_model { WATCHDOG_I6300ESB, WATCHDOG_IB700, WATCHDOG_ITCO, WATCHDOG_MODEL_MAX_ };
enum watchdog_action {
	WATCHDOG_RESET,
	WATCHDOG_SHUTDOWN,
	WATCHDOG_POWEROFF,
	WATCHDOG_PAUSE,
	WATCHDOG_NONE,
	WATCHDOG_DUMP,
	WATCHDOG_INJECT_NMI,
	WATCHDOG_ACTION_MAX_
};

struct watchdog {
	enum watchdog_model model;
	enum watchdog_action action;
	struct device_info info;
};

enum panic_model { PANIC_DEFAULT, PANIC_ISA, PANIC_HYPERV, PANIC_PVPANIC, PANIC_MODEL_MAX_ };

struct panic_device {
	enum panic_model model;
	struct device_info info;
};

enum tpm_model { TPM_DEFAULT, TPM_TIS, TPM_CRB, TPM_MODEL_MAX_ };

struct tpm { /* backend emulator (swtpm) only */
	enum tpm_model model;
	char *version; /* "2.0", "1.2"; NULL 2.0 */
	enum tristate persistent_state;
	struct device_info info;
};

struct vsock {
	bool auto_cid;
	uint32_t cid; /* 0 not said */
	struct device_info info;
};

enum iommu_model { IOMMU_INTEL, IOMMU_VIRTIO, IOMMU_MODEL_MAX_ };

struct iommu {
	enum iommu_model model;
	enum tristate intremap, caching_mode, eim, iotlb;
	struct device_info info;
};

struct domain {
	enum domain_type type;
	int32_t id;	    /* -1: not running */
	uint32_t last_node; /* of a QEMU, the highest number of a block node yet; 0: none. In no XML */
	char *name;
	uint8_t uuid[16];
	bool has_uuid; /* parsing leaves it false when none was given; define generates one */
	char *title, *description;
	char *metadata; /* the <metadata> element as given */

	uint64_t memory_kib;	     /* what the guest boots with */
	uint64_t current_memory_kib; /* balloon target, at most memory_kib */
	uint32_t vcpus;		     /* maximum */
	uint32_t vcpus_current;	     /* at most vcpus */

	struct domain_os os;
	struct domain_features features;
	struct domain_cpu cpu;
	struct domain_clock clock;
	enum lifecycle_action on_poweroff, on_reboot, on_crash;
	enum lockfailure_action on_lockfailure;
	enum tristate pm_suspend_to_mem, pm_suspend_to_disk;
	bool seclabel_none; /* <seclabel type='none'/> was given */

	char *emulator;
	VEC(struct disk *) disks;
	VEC(struct controller *) controllers;
	VEC(struct lease_element *) leases;
	VEC(struct nic *) nics;
	VEC(struct chardev *) serials;
	VEC(struct chardev *) consoles;
	VEC(struct chardev *) channels;
	VEC(struct input *) inputs;
	VEC(struct hub *) hubs;
	VEC(struct graphics *) graphics;
	enum audio_type audio;
	VEC(struct video *) videos;
	VEC(struct rng *) rngs;
	struct memballoon *memballoon; /* NULL: not said */
	VEC(struct watchdog *) watchdogs;
	VEC(struct panic_device *) panics;
	struct tpm *tpm;
	struct vsock *vsock;
	struct iommu *iommu;
};

#define DOMAIN_NAME_MAX 240 /* so that NAME.xml and its temporary name fit in 255 bytes */

struct domain *domain_new(void); /* every "not said" value in place; id -1 */
void domain_free(struct domain *d);
DEFINE_CLEANUP(struct domain *, domain_free);
#define _cleanup_domain_ _cleanup_(domain_free_p)

/* Parse flags. */
enum {
	DOMAIN_PARSE_LIVE = 1 << 0, /* accept id, aliases of our own making, and live-only values */
};

/*
 * Parse libvirt's domain XML. ERROR_XML when the document is not well formed or contradicts itself,
 * ERROR_UNSUPPORTED_CONFIG naming the element, attribute or value when godwit cannot honour it. Checks all
 * that can be checked without a host: names, uniqueness, ranges. Assigns nothing.
 */
int domain_parse(const char *xml, size_t len, unsigned flags, struct domain **ret, struct error *err);

/* Format flags. */
enum {
	DOMAIN_FORMAT_SECURE = 1 << 0,	   /* passwords too */
	DOMAIN_FORMAT_INACTIVE = 1 << 1,   /* no id, no live values, no aliases but the user's */
	DOMAIN_FORMAT_MIGRATABLE = 1 << 2, /* what another libvirt host must be given */
};
char *domain_format(const struct domain *d, unsigned flags);

/* Deep copy, by way of the document. */
struct domain *domain_copy(const struct domain *d);

/*
 * Would the guest see the same hardware? For save images, whose XML may be changed in paths and names only.
 * ERROR_UNSUPPORTED_CONFIG: "Target domain ... does not match source ...", naming what differs.
 */
int domain_check_abi_stable(const struct domain *src, const struct domain *dst, struct error *err);

/* A domain's name is a file name and a word in messages: no '/', control characters, "." or "..", no more than DOMAIN_NAME_MAX bytes, not empty, valid UTF-8. */
int domain_check_name(const char *name, struct error *err);

/* Names of enum values in XML ("virtio", "host-passthrough"); "" for none. The table's owner is enums.c. */
const char *disk_bus_name(enum disk_bus v);
const char *disk_device_name(enum disk_device v);
const char *disk_format_name(enum disk_format v);
const char *disk_cache_name(enum disk_cache v);
const char *disk_io_name(enum disk_io v);
const char *disk_discard_name(enum disk_discard v);
const char *disk_detect_zeroes_name(enum disk_detect_zeroes v);
const char *disk_error_policy_name(enum disk_error_policy v);
const char *controller_type_name(enum controller_type v);
const char *controller_model_name(enum controller_model v);
const char *nic_type_name(enum nic_type v);
const char *chardev_backend_name(enum chardev_backend v);
const char *video_type_name(enum video_type v);
const char *watchdog_model_name(enum watchdog_model v);
const char *watchdog_action_name(enum watchdog_action v);
const char *lifecycle_action_name(enum lifecycle_action v);
const char *timer_name_name(enum timer_name v);
