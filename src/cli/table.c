/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of commands. Names and options are virsh's wherever it has the same command; OWN marks what it does not
 * have. Within a group the order here is the order of `godwit help`.
 *
 * size: a list.
 */
#include "table.h"

#include "alloc.h"
#include "commands.h"
#include "strv.h"

/* clang-format off */
#define END {NULL, OPTION_FLAG, 0, NULL}
#define FLAG(name, help) {name, OPTION_FLAG, 0, help}
#define OWN_FLAG(name, help) {name, OPTION_FLAG, OPTION_OWN, help}
#define TEXT(name, help) {name, OPTION_STRING, 0, help}
#define NUMBER(name, help) {name, OPTION_NUMBER, 0, help}
/* a word in its place: needed, or not */
#define WORD(name, help) {name, OPTION_STRING, OPTION_REQUIRED | OPTION_POSITIONAL, help}
#define MAY_WORD(name, help) {name, OPTION_STRING, OPTION_POSITIONAL, help}
/* by its name, but also taken in its place */
#define SILENT_TEXT(name, help) {name, OPTION_STRING, OPTION_POSITIONAL | OPTION_SILENT, help}
#define SILENT_NUMBER(name, help) {name, OPTION_NUMBER, OPTION_POSITIONAL | OPTION_SILENT, help}
#define WORDS(name, help) {name, OPTION_REST, OPTION_REQUIRED | OPTION_POSITIONAL, help}
#define MAY_WORDS(name, help) {name, OPTION_REST, OPTION_POSITIONAL, help}
/* clang-format on */

#define DOMAIN WORD("domain", "name, id or UUID of the VM")
#define XPATH                                                                                                \
	TEXT("xpath", "print only what this XPath expression selects"),                                      \
		FLAG("wrap", "put what --xpath selects into one element")
#define SECURITY FLAG("security-info", "with passwords and the like")
#define WHICH_DEFINITION                                                                                     \
	FLAG("live", "of the running VM"), FLAG("config", "of its next start"),                              \
		FLAG("current", "of whichever it has now")

static const struct option_spec domain_only[] = {DOMAIN, END};

static const struct option_spec resolve_options[] = {
	DOMAIN, OWN_FLAG("here", "it does not run there: let it go on here"), END};

static const struct option_spec lease_lost_options[] = {WORD("uuid", "UUID of the VM"), END};

/* ---- start and stop ---- */

#define START_EXTRA                                                                                          \
	OWN_FLAG("force", "although its disks have changed since its state was saved"),                      \
		OWN_FLAG("eager", "load all of its memory before it runs")

static const struct option_spec start_options[] = {
	WORD("domain", "name or UUID of the VM"),
	FLAG("console", "connect to its console"),
	FLAG("paused", "do not let it run yet"),
	FLAG("autodestroy", "destroy it when this connection ends"),
	FLAG("bypass-cache", "read a saved state past the host's page cache"),
	FLAG("force-boot", "boot afresh: throw a managed save away"),
	FLAG("reset-nvram", "begin with new UEFI variables"),
	START_EXTRA,
	OWN_FLAG("verbose", "show how far coming back from a managed save is"),
	END,
};
static const struct option_spec create_options[] = {
	WORD("file", "file with the VM's XML"),
	FLAG("console", "connect to its console"),
	FLAG("paused", "do not let it run yet"),
	FLAG("autodestroy", "destroy it when this connection ends"),
	FLAG("validate", "check the XML against the schema"),
	FLAG("reset-nvram", "begin with new UEFI variables"),
	END,
};
static const struct option_spec mode_options[] = {DOMAIN,
	MAY_WORD("mode",
		"how to ask the guest: acpi, agent, initctl, signal, paravirt, or several with commas"),
	END};
static const struct option_spec destroy_options[] = {
	DOMAIN,
	FLAG("graceful", "only if its QEMU ends when asked to"),
	FLAG("remove-logs", "remove its log, too"),
	END,
};
static const struct option_spec autostart_options[] = {
	DOMAIN,
	FLAG("disable", "no longer start it by itself"),
	FLAG("once", "only at the next boot of the host"),
	END,
};

/* ---- put down and pick up ---- */

#define SAVED_AS                                                                                             \
	FLAG("running", "it shall run when it is picked up"),                                                \
		FLAG("paused", "it shall be paused when it is picked up")

#define HURRY OWN_FLAG("hurry", "when its memory is still coming in, have the rest of it at once")

static const struct option_spec save_options[] = {
	DOMAIN,
	WORD("file", "where to save it"),
	FLAG("bypass-cache", "write past the host's page cache"),
	NUMBER("parallel-channels", "write with this many channels"),
	TEXT("image-format", "raw, zstd or sparse"),
	SILENT_TEXT("xml", "file with other XML to be restored with"),
	SAVED_AS,
	FLAG("verbose", "show how far it is"),
	HURRY,
	END,
};
static const struct option_spec restore_options[] = {
	WORD("file", "file it was saved to"),
	FLAG("bypass-cache", "read past the host's page cache"),
	NUMBER("parallel-channels", "read with this many channels"),
	SILENT_TEXT("xml", "file with other XML to restore it with"),
	FLAG("running", "let it run, however it was saved"),
	FLAG("paused", "leave it paused, however it was saved"),
	FLAG("reset-nvram", "begin with new UEFI variables"),
	START_EXTRA,
	OWN_FLAG("verbose", "show how far it is"),
	END,
};
static const struct option_spec snapshot_save_options[] = {
	DOMAIN,
	MAY_WORD("name", "name of the snapshot; the time in seconds"),
	TEXT("description", "what it is for"),
	FLAG("no-memory", "the disks alone"),
	TEXT("hook", "this program takes storage snapshots of the disks: a path, or reflink, btrfs, "
		     "lvm-thin, zfs"),
	FLAG("verbose", "show how far it is"),
	END,
};
static const struct option_spec snapshot_rollback_options[] = {
	DOMAIN,
	WORD("snapshotname", "name of the snapshot"),
	FLAG("verbose", "show how far it is"),
	END,
};
static const struct option_spec snapshot_delete_options[] = {
	DOMAIN,
	MAY_WORD("snapshotname", "name of the snapshot"),
	FLAG("current", "the current one"),
	FLAG("children", "and all below it"),
	FLAG("children-only", "all below it, and not itself"),
	FLAG("metadata", "forget it, and leave its files"),
	FLAG("verbose", "show how far it is"),
	END,
};
static const struct option_spec clone_options[] = {
	WORD("image", "file a VM was saved to, in format sparse"),
	WORD("name", "name of the new VM"),
	NUMBER("count", "make this many, called NAME-1 to NAME-COUNT"),
	FLAG("paused", "leave them paused, however it was saved"),
	FLAG("verify", "check all of the image first, memory too"),
	END,
};
static const struct option_spec managedsave_options[] = {
	DOMAIN,
	FLAG("bypass-cache", "write past the host's page cache"),
	SAVED_AS,
	FLAG("verbose", "show how far it is"),
	HURRY,
	END,
};
static const struct option_spec managedsave_dumpxml_options[] = {DOMAIN, SECURITY, XPATH, END};
static const struct option_spec managedsave_define_options[] = {
	DOMAIN, WORD("xml", "file with the new XML"), SAVED_AS, END};
static const struct option_spec managedsave_edit_options[] = {DOMAIN, SAVED_AS, END};
static const struct option_spec image_dumpxml_options[] = {
	WORD("file", "file a VM was saved to"), SECURITY, XPATH, END};
static const struct option_spec image_define_options[] = {
	WORD("file", "file a VM was saved to"), WORD("xml", "file with the new XML"), SAVED_AS, END};
static const struct option_spec image_edit_options[] = {
	WORD("file", "file a VM was saved to"), SAVED_AS, END};
static const struct option_spec image_info_options[] = {WORD("file", "saved file"), END};
static const struct option_spec image_convert_options[] = {
	WORD("source", "saved file"),
	WORD("target", "file to write; it must not be there yet"),
	TEXT("format", "raw, zstd or sparse; the source's own if not given"),
	END,
};
static const struct option_spec image_export_options[] = {
	WORD("saved", "name, id or UUID of a VM with a managed save, or a file a VM was saved to"),
	WORD("target", "file to be written, or '-': standard output"),
	FLAG("disks", "with its disks"),
	FLAG("resume", "go on with a file that was cut"),
	TEXT("resume-from", "go on with an import that was cut, as its --partial says"),
	END,
};
static const struct option_spec image_import_options[] = {
	MAY_WORD("source", "file, or '-': standard input"),
	TEXT("disk-dir", "directory for its disks; otherwise where they were"),
	FLAG("resume", "go on with an import that was cut"),
	TEXT("partial", "print how far an import of this VM came that was cut"),
	TEXT("discard-partial", "throw away what came of an import of this VM that was cut"),
	END,
};
static const struct option_spec jobinfo_options[] = {
	DOMAIN,
	FLAG("completed", "of the last job that is over"),
	FLAG("keep-completed", "and keep its figures for another look"),
	FLAG("anystats", "also of a job that failed"),
	FLAG("rawstats", "every figure as the daemon names it"),
	END,
};
static const struct option_spec jobabort_options[] = {
	DOMAIN, FLAG("postcopy", "interrupt a migration that is past its switch-over"), END};

/* ---- move to another host ---- */

static const struct option_spec evacuate_options[] = {
	{"to", OPTION_STRING, OPTION_REQUIRED, "hosts, or their daemons' URIs, with commas between"},
	NUMBER("jobs", "so many at a time; otherwise 2"),
	FLAG("offline", "also the definitions of VMs that are off"),
	FLAG("p2p", "this host's daemon connects to the others"),
	FLAG("copy-storage-all", "copy disks that are not shared"),
	FLAG("unsafe", "whatever the check has against disks"),
	END,
};

static const struct option_spec migrate_options[] = {
	DOMAIN,
	WORD("desturi", "the other daemon (its URI, or a host)"),
	FLAG("check", "only check whether it would come about; nothing is touched"),
	FLAG("live", "while the guest runs"),
	FLAG("offline", "only its definition, of a VM that is off"),
	FLAG("p2p", "the source's daemon connects to the other one and does it all"),
	FLAG("direct", "this command connects to both daemons"),
	FLAG("tunnelled", "send the guest over the daemons' own connection; with --p2p"),
	FLAG("persistent", "define it there, too"),
	FLAG("undefinesource", "forget its definition here"),
	FLAG("suspend", "do not let it run there yet"),
	FLAG("copy-storage-all", "copy its disks, too"),
	FLAG("copy-storage-inc", "copy what its disks have over backing files that are there already"),
	FLAG("copy-storage-synchronous-writes", "let the guest's writes wait until the copy has them"),
	FLAG("change-protection", "no changes to its definition meanwhile; always so"),
	FLAG("unsafe", "although its disks may be damaged, by a cache of the host's for example"),
	FLAG("verbose", "show how far it is"),
	FLAG("compressed", "compress its memory"),
	FLAG("auto-converge", "slow the guest down when it writes faster than memory can be sent"),
	FLAG("rdma-pin-all", "not supported"),
	FLAG("abort-on-error", "call it off when a disk has an error meanwhile"),
	FLAG("postcopy", "allow the switch to post-copy"),
	FLAG("postcopy-after-precopy", "switch to post-copy after one pass over the memory"),
	FLAG("postcopy-resume", "go on with one whose post-copy was interrupted"),
	FLAG("zerocopy", "send memory without copying it; with --parallel"),
	TEXT("migrateuri", "where the memory is sent (tcp://HOST:PORT or unix://PATH)"),
	TEXT("graphicsuri", "where the guest's screen will be"),
	TEXT("listen-address", "where the other host listens"),
	TEXT("dname", "its name there"),
	NUMBER("timeout", "seconds of moving memory after which something is done about it"),
	FLAG("timeout-suspend", "namely: stop the guest (so it is without other words)"),
	FLAG("timeout-postcopy", "namely: switch to post-copy"),
	TEXT("xml", "file with the XML it gets there"),
	TEXT("migrate-disks", "the disks to copy, by target, with commas between"),
	TEXT("migrate-disks-detect-zeroes", "not supported"),
	NUMBER("disks-port", "port that disks are copied to"),
	TEXT("disks-uri", "where disks are copied to (tcp://HOST:PORT or unix:///PATH)"),
	TEXT("comp-methods", "how to compress: xbzrle, or with --parallel zlib or zstd"),
	NUMBER("comp-mt-level", "not supported: gone from QEMU"),
	NUMBER("comp-mt-threads", "not supported: gone from QEMU"),
	NUMBER("comp-mt-dthreads", "not supported: gone from QEMU"),
	NUMBER("comp-xbzrle-cache", "bytes of the cache that xbzrle compares pages with"),
	NUMBER("auto-converge-initial", "per cent of its time the guest loses at first"),
	NUMBER("auto-converge-increment", "and how many more each time"),
	TEXT("persistent-xml", "file with the XML of its definition there"),
	FLAG("tls", "encrypt memory and disks"),
	NUMBER("postcopy-bandwidth", "MiB a second after the switch to post-copy"),
	FLAG("parallel", "over several connections"),
	NUMBER("parallel-connections", "how many"),
	NUMBER("bandwidth", "MiB a second at most"),
	TEXT("tls-destination", "the name that the other host's certificate must have"),
	NUMBER("comp-zlib-level", "1 to 9"),
	NUMBER("comp-zstd-level", "1 to 20"),
	NUMBER("available-switchover-bandwidth", "MiB a second that the last of it will have"),
	END,
};
static const struct option_spec setmaxdowntime_options[] = {
	DOMAIN,
	{"downtime", OPTION_NUMBER, OPTION_REQUIRED | OPTION_POSITIONAL,
		"how long it may stand still, in milliseconds"},
	END,
};
static const struct option_spec setspeed_options[] = {
	DOMAIN,
	{"bandwidth", OPTION_NUMBER, OPTION_REQUIRED | OPTION_POSITIONAL, "MiB a second"},
	FLAG("postcopy", "of the time after the switch to post-copy"),
	END,
};
static const struct option_spec getspeed_options[] = {
	DOMAIN, FLAG("postcopy", "of the time after the switch to post-copy"), END};
static const struct option_spec compcache_options[] = {
	DOMAIN, SILENT_NUMBER("size", "make it so large first, in bytes"), END};

/* ---- look at ---- */

static const struct option_spec list_options[] = {
	FLAG("inactive", "VMs that are off"),
	FLAG("all", "running or off"),
	FLAG("transient", "without a definition that stays"),
	FLAG("persistent", "with a definition that stays"),
	FLAG("with-snapshot", "that have snapshots"),
	FLAG("without-snapshot", "that have no snapshots"),
	FLAG("with-checkpoint", "that have checkpoints"),
	FLAG("without-checkpoint", "that have no checkpoints"),
	FLAG("state-running", "running"),
	FLAG("state-paused", "paused"),
	FLAG("state-shutoff", "off"),
	FLAG("state-other", "in any other state"),
	FLAG("autostart", "that start by themselves"),
	FLAG("no-autostart", "that do not start by themselves"),
	FLAG("with-managed-save", "that have a managed save"),
	FLAG("without-managed-save", "that have no managed save"),
	FLAG("uuid", "print UUIDs, one a line"),
	FLAG("name", "print names, one a line"),
	FLAG("id", "print ids, one a line"),
	FLAG("table", "print a table (what it does anyway)"),
	FLAG("managed-save", "say \"saved\" of those that are off and have a managed save"),
	FLAG("title", "with their titles"),
	END,
};
static const struct option_spec domstate_options[] = {DOMAIN, FLAG("reason", "also why"), END};
static const struct option_spec domid_options[] = {WORD("domain", "name or UUID of the VM"), END};
static const struct option_spec domuuid_options[] = {WORD("domain", "name or id of the VM"), END};
static const struct option_spec domname_options[] = {WORD("domain", "id or UUID of the VM"), END};
static const struct option_spec dumpxml_options[] = {
	DOMAIN,
	FLAG("inactive", "as it will be at its next start"),
	SECURITY,
	FLAG("update-cpu", "with the CPU that this host gives it"),
	FLAG("migratable", "fit for other hosts"),
	XPATH,
	END,
};
static const struct option_spec inactive_options[] = {
	DOMAIN, FLAG("inactive", "as it will be at its next start"), END};
static const struct option_spec domblklist_options[] = {
	DOMAIN,
	FLAG("inactive", "as it will be at its next start"),
	FLAG("details", "with type and device"),
	END,
};
static const struct option_spec getlink_options[] = {
	DOMAIN,
	WORD("interface", "its name on the host, or its MAC address"),
	FLAG("config", "as it will be at its next start"),
	END,
};
static const struct option_spec domdisplay_options[] = {
	DOMAIN,
	FLAG("include-password", "with the password"),
	MAY_WORD("type", "only vnc, or spice"),
	FLAG("all", "all of them, not just the first"),
	END,
};
static const struct option_spec event_options[] = {
	TEXT("domain", "only of this VM"),
	TEXT("event", "wait for this type"),
	FLAG("all", "wait for any type"),
	FLAG("loop", "do not stop after the first"),
	NUMBER("timeout", "stop after this many seconds"),
	FLAG("list", "print the types there are"),
	FLAG("timestamp", "with the time"),
	END,
};

/* ---- define and change ---- */

static const struct option_spec define_options[] = {
	WORD("file", "file with the VM's XML"), FLAG("validate", "check the XML against the schema"), END};
static const struct option_spec undefine_options[] = {
	DOMAIN,
	FLAG("managed-save", "remove its managed save, too"),
	FLAG("snapshots-metadata", "forget its snapshots"),
	FLAG("checkpoints-metadata", "forget its checkpoints"),
	FLAG("nvram", "remove its UEFI variables, too"),
	FLAG("keep-nvram", "keep its UEFI variables"),
	FLAG("tpm", "remove its TPM's state, too"),
	FLAG("keep-tpm", "keep its TPM's state"),
	END,
};
static const struct option_spec edit_options[] = {
	DOMAIN, FLAG("skip-validate", "do not check the XML against the schema"), END};
static const struct option_spec domrename_options[] = {
	WORD("domain", "name or UUID of the VM"), WORD("new-name", "its new name"), END};
static const struct option_spec desc_options[] = {
	DOMAIN,
	WHICH_DEFINITION,
	FLAG("title", "the title instead of the description"),
	FLAG("edit", "in an editor"),
	MAY_WORDS("new-desc", "the new text; without it the old one is printed"),
	END,
};
static const struct option_spec metadata_options[] = {
	DOMAIN,
	WORD("uri", "the XML namespace it belongs to"),
	WHICH_DEFINITION,
	FLAG("edit", "in an editor"),
	SILENT_TEXT("key", "prefix for the namespace"),
	SILENT_TEXT("set", "the new element"),
	FLAG("remove", "remove it"),
	END,
};
#define WHICH_PLUGGED                                                                                        \
	FLAG("persistent", "in the definition, and at once if the VM runs"),                                 \
		FLAG("config", "in the definition, from its next start"),                                    \
		FLAG("live", "in the running VM (what it does anyway)"),                                     \
		FLAG("current", "in whichever it has now")

static const struct option_spec attach_device_options[] = {
	DOMAIN, WORD("file", "file with the device's XML"), WHICH_PLUGGED, END};
static const struct option_spec attach_disk_options[] = {
	DOMAIN,
	WORD("source", "path of the image or block device"),
	WORD("target", "what it is called in the VM (vdb, sdb)"),
	TEXT("targetbus", "virtio, scsi or usb; otherwise as the target's name says"),
	TEXT("driver", "qemu"),
	TEXT("subdriver", "format of the image: raw (unless given) or qcow2"),
	TEXT("cache", "none, writethrough, writeback, directsync or unsafe"),
	TEXT("io", "threads, native or io_uring"),
	TEXT("type", "disk, cdrom or lun"),
	TEXT("mode", "readonly or shareable"),
	TEXT("sourcetype", "file or block; otherwise as what is there"),
	TEXT("serial", "serial number that the guest reads"),
	TEXT("wwn", "world wide name, 16 hexadecimal digits"),
	TEXT("alias", "a name of your own, with ua- before it"),
	FLAG("print-xml", "print the disk's XML and attach nothing"),
	WHICH_PLUGGED,
	END,
};
static const struct option_spec detach_disk_options[] = {
	DOMAIN,
	WORD("target", "what it is called in the VM, or its source"),
	WHICH_PLUGGED,
	FLAG("print-xml", "print the disk's XML and detach nothing"),
	END,
};
static const struct option_spec detach_alias_options[] = {
	DOMAIN, WORD("alias", "the device's alias"), WHICH_DEFINITION, END};
#define DISK_PATH WORD("path", "the disk: its target (vda) or the path of its image")
#define JOB_BANDWIDTH                                                                                        \
	NUMBER("bandwidth", "at most so many MiB a second"), FLAG("bytes", "the bandwidth is in bytes")
#define JOB_IS_WAITED_FOR                                                                                    \
	FLAG("wait", "until it is over"), FLAG("verbose", "with --wait: show how far it is"),                \
		NUMBER("timeout", "wait, and cancel it when it is not over after so many seconds"),          \
		FLAG("async", "with --wait: after Ctrl-C or --timeout do not wait until it is canceled")

static const struct option_spec blockcommit_options[] = {
	DOMAIN,
	DISK_PATH,
	JOB_BANDWIDTH,
	TEXT("base", "the image to merge into; otherwise the lowest"),
	TEXT("top", "the uppermost to merge; otherwise the active one"),
	FLAG("shallow", "only into the next one below"),
	FLAG("active", "the active image is to be merged"),
	FLAG("delete", "remove the files that were merged"),
	JOB_IS_WAITED_FOR,
	FLAG("pivot", "with --active: wait, and put the guest on the base"),
	FLAG("keep-overlay", "with --active: wait, and leave the guest where it is"),
	FLAG("keep-relative", "images go on naming each other by relative paths"),
	END,
};
static const struct option_spec blockpull_options[] = {
	DOMAIN,
	DISK_PATH,
	JOB_BANDWIDTH,
	TEXT("base", "the image to go on standing on; otherwise none"),
	JOB_IS_WAITED_FOR,
	FLAG("keep-relative", "the image goes on naming its base by a relative path"),
	END,
};
static const struct option_spec blockjob_options[] = {
	DOMAIN,
	DISK_PATH,
	FLAG("abort", "end it; the images stay as they were"),
	FLAG("pivot", "put the guest on the base of an active commit that is ready"),
	FLAG("async", "with --abort or --pivot: do not wait until it is over"),
	FLAG("info", "show it (what it does anyway)"),
	JOB_BANDWIDTH,
	END,
};
static const struct option_spec blockresize_options[] = {
	DOMAIN,
	DISK_PATH,
	MAY_WORD("size", "in KiB, or with b, k, M, G or T behind it"),
	FLAG("capacity", "as large as its block device has become"),
	END,
};
static const struct option_spec to_native_options[] = {
	WORD("format", "qemu-argv"),
	TEXT("domain", "name, id or UUID of the VM"),
	SILENT_TEXT("xml", "file with the VM's XML"),
	END,
};

/* ---- talk to the guest ---- */

static const struct option_spec console_options[] = {
	DOMAIN,
	TEXT("devname", "alias of the device (serial0); otherwise the first console"),
	FLAG("force", "throw out who is connected"),
	FLAG("resume", "let a paused VM run once connected"),
	FLAG("safe", "only if nobody else can be connected"),
	END,
};
static const struct option_spec monitor_command_options[] = {
	DOMAIN,
	FLAG("hmp", "in the language of the human monitor"),
	FLAG("pretty", "indent the answer"),
	FLAG("return-value", "only the value that came back"),
	WORDS("cmd", "the command"),
	END,
};
static const struct option_spec monitor_event_options[] = {
	TEXT("domain", "only of this VM"),
	TEXT("event", "only of this name"),
	FLAG("pretty", "indent the data"),
	FLAG("loop", "do not stop after the first"),
	NUMBER("timeout", "stop after this many seconds"),
	FLAG("regex", "--event is a regular expression"),
	FLAG("no-case", "--event in upper or lower case"),
	FLAG("timestamp", "with the time"),
	END,
};

static const struct option_spec freeze_options[] = {
	DOMAIN, MAY_WORDS("mountpoint", "where they are mounted; otherwise all"), END};
static const struct option_spec thaw_options[] = {
	DOMAIN, MAY_WORDS("mountpoint", "is refused: all are thawed"), END};
static const struct option_spec trim_options[] = {
	DOMAIN,
	NUMBER("minimum", "leave free ranges of fewer bytes alone"),
	TEXT("mountpoint", "is refused: all are trimmed"),
	END,
};
static const struct option_spec time_options[] = {
	DOMAIN,
	FLAG("now", "set it to this host's time"),
	FLAG("pretty", "print it for people, in UTC"),
	FLAG("sync", "set it to what its hardware clock says"),
	NUMBER("time", "set it to so many seconds since 1970"),
	END,
};
static const struct option_spec agent_command_options[] = {
	DOMAIN,
	NUMBER("timeout", "wait for the answer so many seconds; otherwise 5"),
	FLAG("async", "do not wait for the answer"),
	FLAG("block", "wait for the answer however long it takes"),
	FLAG("pretty", "indent the answer"),
	WORDS("cmd", "the command"),
	END,
};
static const struct option_spec guestinfo_options[] = {
	DOMAIN,
	FLAG("user", "who is logged in"),
	FLAG("os", "its operating system"),
	FLAG("timezone", "its time zone"),
	FLAG("hostname", "its name"),
	FLAG("filesystem", "what is mounted"),
	FLAG("disk", "its disks"),
	FLAG("interface", "its network interfaces and their addresses"),
	FLAG("load", "how busy it is"),
	END,
};

static const struct option_spec hostname_options[] = {
	DOMAIN, TEXT("source", "who is asked: agent; lease is refused"), END};
static const struct option_spec addresses_options[] = {
	DOMAIN,
	MAY_WORD("interface", "only this one, by its name in the guest"),
	FLAG("full", "its name and MAC address in every line"),
	TEXT("source", "who is asked: agent; lease (the default) and arp are refused"),
	END,
};
static const struct option_spec password_options[] = {
	DOMAIN,
	WORD("user", "whose"),
	WORD("password", "the new one"),
	FLAG("encrypted", "as the guest stores it, not to be encrypted again"),
	END,
};
static const struct option_spec agent_timeout_options[] = {
	DOMAIN,
	TEXT("timeout", "seconds; 0 not to wait, -1 libvirt's 5 seconds, -2 (and without) any time"),
	END,
};
static const struct option_spec setvcpus_options[] = {
	DOMAIN,
	{"count", OPTION_NUMBER, OPTION_REQUIRED | OPTION_POSITIONAL, "so many of them"},
	FLAG("live", "of the running VM"),
	FLAG("current", "of whichever it has now"),
	FLAG("guest", "by the guest's agent; must be there"),
	END,
};

/* ---- figures ---- */

static const struct option_spec domstats_options[] = {
	FLAG("state", "state"),
	FLAG("cpu-total", "CPU time"),
	FLAG("balloon", "memory balloon"),
	FLAG("vcpu", "vCPUs"),
	FLAG("interface", "network interfaces"),
	FLAG("block", "block devices"),
	FLAG("perf", "perf events"),
	FLAG("iothread", "I/O threads"),
	FLAG("memory", "memory bandwidth"),
	FLAG("dirtyrate", "rate of dirtied memory"),
	FLAG("vm", "what the hypervisor counts"),
	FLAG("list-active", "of VMs that run"),
	FLAG("list-inactive", "of VMs that are off"),
	FLAG("list-persistent", "of VMs with a definition that stays"),
	FLAG("list-transient", "of VMs without"),
	FLAG("list-running", "of running VMs"),
	FLAG("list-paused", "of paused VMs"),
	FLAG("list-shutoff", "of VMs that are off"),
	FLAG("list-other", "of VMs in any other state"),
	FLAG("raw", "numbers as they are (what it does anyway)"),
	FLAG("enforce", "fail when a group is not known"),
	FLAG("backing", "also of the images below a disk's"),
	FLAG("nowait", "only what is known without asking a QEMU that is busy"),
	MAY_WORDS("domain", "these VMs; otherwise all"),
	END,
};
static const struct option_spec domblkstat_options[] = {
	DOMAIN,
	MAY_WORD("device", "target of the disk (vda); otherwise all together"),
	FLAG("human", "with words"),
	END,
};
static const struct option_spec domblkinfo_options[] = {
	DOMAIN,
	MAY_WORD("device", "target of the disk (vda)"),
	FLAG("human", "in larger units"),
	FLAG("all", "of all disks"),
	END,
};
static const struct option_spec domifstat_options[] = {
	DOMAIN, WORD("interface", "its name on the host, or its MAC address"), END};
static const struct option_spec vcpuinfo_options[] = {DOMAIN, FLAG("pretty", "CPUs as ranges"), END};
static const struct option_spec vcpucount_options[] = {
	DOMAIN,
	FLAG("maximum", "how many it may have"),
	FLAG("active", "how many it has"),
	WHICH_DEFINITION,
	FLAG("guest", "as the guest itself counts"),
	END,
};
static const struct option_spec cpu_stats_options[] = {
	DOMAIN,
	FLAG("total", "only all CPUs together"),
	SILENT_NUMBER("start", "from this CPU of the host on"),
	SILENT_NUMBER("count", "at most this many CPUs"),
	END,
};

/* ---- host ---- */

static const struct option_spec xpath_options[] = {XPATH, END};
static const struct option_spec domcapabilities_options[] = {
	SILENT_TEXT("virttype", "kvm or qemu"),
	SILENT_TEXT("emulatorbin", "path of the emulator"),
	SILENT_TEXT("arch", "CPU architecture of the guest"),
	SILENT_TEXT("machine", "machine type"),
	XPATH,
	FLAG("disable-deprecated-features", "the host's CPU without what will go away"),
	END,
};
static const struct option_spec nodememstats_options[] = {
	SILENT_NUMBER("cell", "only of this NUMA cell"), END};
static const struct option_spec nodecpustats_options[] = {SILENT_NUMBER("cpu", "only of this CPU"),
	FLAG("percent", "shares of one second, which it waits for"), END};
static const struct option_spec nodecpumap_options[] = {FLAG("pretty", "CPUs as ranges"), END};
static const struct option_spec freecell_options[] = {
	SILENT_NUMBER("cellno", "only of this NUMA cell"), FLAG("all", "of each NUMA cell"), END};
static const struct option_spec version_options[] = {FLAG("daemon", "also the daemon's"), END};
static const struct option_spec cpu_models_options[] = {WORD("arch", "CPU architecture (x86_64)"), END};
static const struct option_spec maxvcpus_options[] = {SILENT_TEXT("type", "kvm or qemu"), END};

#define OBJECT_FILTERS                                                                                       \
	FLAG("inactive", "those that are off"), FLAG("all", "on or off"),                                    \
		FLAG("persistent", "with a definition that stays"), FLAG("transient", "without"),            \
		FLAG("autostart", "that start by themselves"), FLAG("no-autostart", "that do not"),          \
		FLAG("uuid", "print UUIDs, one a line"), FLAG("name", "print names, one a line")

static const struct option_spec net_list_options[] = {
	OBJECT_FILTERS, FLAG("table", "print a table (what it does anyway)"), END};
static const struct option_spec pool_list_options[] = {OBJECT_FILTERS, END};
static const struct option_spec iface_list_options[] = {
	FLAG("inactive", "those that are off"), FLAG("all", "on or off"), END};
static const struct option_spec secret_list_options[] = {
	FLAG("ephemeral", "kept in memory only"),
	FLAG("no-ephemeral", "kept on disk"),
	FLAG("private", "never shown"),
	FLAG("no-private", "shown to who may"),
	END,
};
static const struct option_spec help_options[] = {
	MAY_WORD("command", "a command, or the keyword of a group"),
	OWN_FLAG("complete", "print words for the shell to complete with: commands, or the options of one"),
	END,
};

#define JSON COMMAND_JSON

const struct command commands[] = {
	{"start", GROUP_START, "start a VM, from its managed save if it has one",
		"A VM that was put down with managedsave goes on where it was, and the managed save is "
		"removed then. --force-boot boots it afresh instead. A managed save whose disks were written "
		"since is refused: --force goes on nevertheless.",
		start_options, cmd_start, 0},
	{"create", GROUP_START, "start a VM from XML without keeping a definition",
		"The VM is gone when it ends, unless it is defined meanwhile.", create_options, cmd_create,
		0},
	{"shutdown", GROUP_START, "ask the guest to shut down",
		"Returns when the guest was asked, not when it is off.", mode_options, cmd_shutdown, 0},
	{"reboot", GROUP_START, "ask the guest to reboot", "Returns when the guest was asked.", mode_options,
		cmd_reboot, 0},
	{"reset", GROUP_START, "reset the VM as its button would",
		"The guest is not asked and loses what it did not write.", domain_only, cmd_reset, 0},
	{"destroy", GROUP_START, "pull the plug",
		"The guest is not asked and loses what it did not write. Its definition stays.",
		destroy_options, cmd_destroy, 0},
	{"suspend", GROUP_START, "stop its CPUs", "It stays in memory; resume lets it go on.", domain_only,
		cmd_suspend, 0},
	{"resume", GROUP_START, "let a suspended VM go on", NULL, domain_only, cmd_resume, 0},
	{"autostart", GROUP_START, "start it with the host, or no longer", NULL, autostart_options,
		cmd_autostart, 0},

	{"save", GROUP_SAVE, "put a VM down into a file",
		"Writes memory, devices and definition of a running VM into a file and ends it. restore "
		"picks it up. Ctrl-C stops "
		"saving: the VM then runs on and no file is left. A VM that was restored a moment ago and "
		"whose memory is "
		"still coming in runs on until it has all of it.",
		save_options, cmd_save, 0},
	{"restore", GROUP_SAVE, "pick a VM up from a file",
		"The file stays, and is refused once its disks were written since: --force goes on "
		"nevertheless.",
		restore_options, cmd_restore, 0},
	{"clone", GROUP_SAVE, "make new VMs out of one saved state",
		"Each begins where the saved VM stopped, at once: its memory is the image's until it writes "
		"to "
		"it, its disks are overlays over the other's, and it has a name, UUID and MAC addresses of "
		"its "
		"own. The image must be in format sparse, and neither it nor the disks may be written to as "
		"long as a clone runs. 'undefine' removes a clone's disks with it.",
		clone_options, cmd_clone, 0},
	{"managedsave", GROUP_SAVE, "put a VM down where its next start finds it",
		"Like save, but the daemon keeps the file. Ctrl-C stops saving: the VM then runs on.",
		managedsave_options, cmd_managedsave, 0},
	{"managedsave-remove", GROUP_SAVE, "throw a managed save away", "The VM's next start is a boot.",
		domain_only, cmd_managedsave_remove, 0},
	{"managedsave-dumpxml", GROUP_SAVE, "print the XML in a managed save", NULL,
		managedsave_dumpxml_options, cmd_managedsave_dumpxml, 0},
	{"managedsave-define", GROUP_SAVE, "replace the XML in a managed save", NULL,
		managedsave_define_options, cmd_managedsave_define, 0},
	{"managedsave-edit", GROUP_SAVE, "edit the XML in a managed save", NULL, managedsave_edit_options,
		cmd_managedsave_edit, 0},
	{"save-image-dumpxml", GROUP_SAVE, "print the XML in a saved file", NULL, image_dumpxml_options,
		cmd_save_image_dumpxml, 0},
	{"save-image-define", GROUP_SAVE, "replace the XML in a saved file", NULL, image_define_options,
		cmd_save_image_define, 0},
	{"save-image-edit", GROUP_SAVE, "edit the XML in a saved file", NULL, image_edit_options,
		cmd_save_image_edit, 0},
	{"image-info", GROUP_SAVE, "show what a saved file is",
		"Also 'image info'. Needs no daemon. Who wrote it, which VM is in it, whether it is whole as "
		"far as "
		"that can be seen without reading it all, and how it can be restored.",
		image_info_options, cmd_image_info, JSON},
	{"image-verify", GROUP_SAVE, "read a saved file and compare it with its checksums",
		"Also 'image verify'. Needs no daemon. A file that libvirt wrote has no checksums; then what "
		"can be checked is, and said.",
		image_info_options, cmd_image_verify, JSON},
	{"image-convert", GROUP_SAVE, "write a saved file in another format",
		"Also 'image convert'. Needs no daemon. The source is checked on the way and stays; the "
		"target has "
		"checksums, whoever wrote the source.",
		image_convert_options, cmd_image_convert, JSON},
	{"image-export", GROUP_SAVE, "carry a saved VM away, in one file",
		"Also 'image export'. Definition and state of a VM that has a managed save, or of a saved "
		"file, "
		"and with --disks "
		"its disks, as one bundle that 'image import' brings in on another host.",
		image_export_options, cmd_image_export, 0},
	{"image-import", GROUP_SAVE, "bring in a saved VM that was carried away",
		"Also 'image import'. The VM is there when all of it has come and is what was exported; "
		"start "
		"resumes it. What was cut "
		"stays for --resume.",
		image_import_options, cmd_image_import, 0},
	{"domjobinfo", GROUP_SAVE, "show how far a VM's job is", NULL, jobinfo_options, cmd_domjobinfo, JSON},
	{"domjobabort", GROUP_SAVE, "stop a VM's job", "The VM is then as it was before the job.",
		jobabort_options, cmd_domjobabort, 0},

	{"migrate", GROUP_MOVE, "move a VM to another host",
		"Its memory moves while it runs (--live), and then it runs there and no longer here; when "
		"that fails it runs on here as if nothing had been asked. A host's name without scheme is "
		"its daemon over ssh; then no further words are needed: a VM that runs moves live, over "
		"several connections, and its definition moves with it. Over anything but a UNIX socket the "
		"source's daemon connects to the other one, as with --p2p. Ctrl-C calls it off. What would "
		"make it "
		"fail is checked first, and nothing is touched then; --check does only that, and prints a "
		"table. --unsafe passes over what the check has against disks.",
		migrate_options, cmd_migrate, JSON},
	{"evacuate", GROUP_MOVE, "move all VMs that run here to other hosts",
		"Each is moved as \"migrate\" does it, the check before included, those with the least "
		"memory "
		"first, so many at a time. One that a host does not take is tried at the next. What stays, "
		"and why, is said at the end; begun again, it goes on with what is left. Ctrl-C lets those "
		"under way come to their end, a second one calls them off.",
		evacuate_options, cmd_evacuate, 0},
	{"migrate-setmaxdowntime", GROUP_MOVE, "set how long a VM may stand still when it moves", NULL,
		setmaxdowntime_options, cmd_migrate_setmaxdowntime, 0},
	{"migrate-getmaxdowntime", GROUP_MOVE, "print how long a VM may stand still when it moves", NULL,
		domain_only, cmd_migrate_getmaxdowntime, JSON},
	{"migrate-setspeed", GROUP_MOVE, "set how fast a VM may move",
		"Also of a VM that is off, for its next migration.", setspeed_options, cmd_migrate_setspeed,
		0},
	{"migrate-getspeed", GROUP_MOVE, "print how fast a VM may move",
		"In MiB a second; 8796093022207 when no limit was set.", getspeed_options,
		cmd_migrate_getspeed, JSON},
	{"migrate-compcache", GROUP_MOVE, "show or set the cache of migration's compression",
		"It is what the method xbzrle compares pages with.", compcache_options, cmd_migrate_compcache,
		JSON},
	{"migrate-postcopy", GROUP_MOVE, "let a moving VM run on the other host now",
		"What is still missing of its memory comes while it runs there. The migration must have been "
		"begun with --postcopy.",
		domain_only, cmd_migrate_postcopy, 0},
	{"migrate-resolve", GROUP_MOVE, "give up the destination of a VM that waits for its word",
		"A VM whose migration broke off at the last moment stays paused here until the other host "
		"has said whether it runs there. When that host is lost for good, and it is certain that "
		"the VM does not run there, --here lets it go on here. The other host is asked once more; "
		"what it says counts.",
		resolve_options, cmd_migrate_resolve, 0},

	{"list", GROUP_LOOK, "list VMs", "Without a filter those that run.", list_options, cmd_list, JSON},
	{"dominfo", GROUP_LOOK, "show the main facts of a VM", NULL, domain_only, cmd_dominfo, JSON},
	{"domstate", GROUP_LOOK, "show whether it runs", NULL, domstate_options, cmd_domstate, JSON},
	{"domid", GROUP_LOOK, "print its id", NULL, domid_options, cmd_domid, JSON},
	{"domuuid", GROUP_LOOK, "print its UUID", NULL, domuuid_options, cmd_domuuid, JSON},
	{"domname", GROUP_LOOK, "print its name", NULL, domname_options, cmd_domname, JSON},
	{"dumpxml", GROUP_LOOK, "print its XML", NULL, dumpxml_options, cmd_dumpxml, 0},
	{"domcontrol", GROUP_LOOK, "show whether its QEMU answers", NULL, domain_only, cmd_domcontrol, JSON},
	{"domblklist", GROUP_LOOK, "list its disks", NULL, domblklist_options, cmd_domblklist, JSON},
	{"domblkerror", GROUP_LOOK, "show which disks have errors", NULL, domain_only, cmd_domblkerror, JSON},
	{"domiflist", GROUP_LOOK, "list its network interfaces", NULL, inactive_options, cmd_domiflist, JSON},
	{"domif-getlink", GROUP_LOOK, "show whether an interface's cable is in", NULL, getlink_options,
		cmd_domif_getlink, JSON},
	{"domdisplay", GROUP_LOOK, "print where its display is", NULL, domdisplay_options, cmd_domdisplay,
		JSON},
	{"vncdisplay", GROUP_LOOK, "print its VNC display", NULL, domain_only, cmd_vncdisplay, JSON},
	{"ttyconsole", GROUP_LOOK, "print the terminal its console is on", NULL, domain_only, cmd_ttyconsole,
		JSON},
	{"event", GROUP_LOOK, "wait for something to happen", "With --json every event is one line.",
		event_options, cmd_event, JSON},

	{"define", GROUP_CHANGE, "define a VM, or change its definition",
		"A running VM has the new definition from its next start.", define_options, cmd_define, 0},
	{"undefine", GROUP_CHANGE, "remove a VM's definition",
		"A running VM runs on and is gone when it ends.", undefine_options, cmd_undefine, 0},
	{"edit", GROUP_CHANGE, "edit its XML",
		"In $VISUAL, $EDITOR or vi. A running VM has it from its next start.", edit_options, cmd_edit,
		0},
	{"domrename", GROUP_CHANGE, "give it another name", "It must be off.", domrename_options,
		cmd_domrename, 0},
	{"desc", GROUP_CHANGE, "show or set its description or title", NULL, desc_options, cmd_desc, JSON},
	{"metadata", GROUP_CHANGE, "show or set metadata of other programs", NULL, metadata_options,
		cmd_metadata, 0},
	{"attach-disk", GROUP_CHANGE, "give it a disk",
		"With a lock manager the VM takes the disk's lease first, and is refused while somebody else "
		"has it.",
		attach_disk_options, cmd_attach_disk, 0},
	{"detach-disk", GROUP_CHANGE, "take a disk away",
		"A guest that runs is asked to let go. When it does not in 5 seconds, the command ends and "
		"the disk "
		"goes when the "
		"guest lets go; until then the VM has it, and its lease.",
		detach_disk_options, cmd_detach_disk, 0},
	{"attach-device", GROUP_CHANGE, "give it a device from a file", "Only disks.", attach_device_options,
		cmd_attach_device, 0},
	{"detach-device", GROUP_CHANGE, "take away the device in a file",
		"Only disks; the target says which. As detach-disk otherwise.", attach_device_options,
		cmd_detach_device, 0},
	{"detach-device-alias", GROUP_CHANGE, "take away the device with this alias",
		"Only disks. As detach-disk otherwise.", detach_alias_options, cmd_detach_device_alias, 0},
	{"blockcommit", GROUP_CHANGE, "merge images of a disk into one below",
		"The guest runs on. An active commit waits, when both images are equal, for blockjob --pivot "
		"or --abort. "
		"Images that snapshots need are merged by deleting the snapshot.",
		blockcommit_options, cmd_blockcommit, 0},
	{"blockpull", GROUP_CHANGE, "merge images of a disk into the active one", "The guest runs on.",
		blockpull_options, cmd_blockpull, 0},
	{"blockjob", GROUP_CHANGE, "show, end or slow down the merging of images", NULL, blockjob_options,
		cmd_blockjob, JSON},
	{"blockresize", GROUP_CHANGE, "change the size of a disk", "The VM must run.", blockresize_options,
		cmd_blockresize, 0},
	{"domxml-to-native", GROUP_CHANGE, "print the command line QEMU would have", NULL, to_native_options,
		cmd_domxml_to_native, 0},

	{"console", GROUP_TALK, "connect to its console", "Ctrl-] ends it.", console_options, cmd_console, 0},
	{"inject-nmi", GROUP_TALK, "interrupt the guest, unmaskably", NULL, domain_only, cmd_inject_nmi, 0},
	{"qemu-monitor-command", GROUP_TALK, "say something to its QEMU",
		"The daemon does not know what is changed this way: for looking, and at your own risk for "
		"anything else.",
		monitor_command_options, cmd_qemu_monitor_command, JSON},
	{"qemu-monitor-event", GROUP_TALK, "wait for events of QEMU", "With --json every event is one line.",
		monitor_event_options, cmd_qemu_monitor_event, JSON},

	{"qemu-agent-command", GROUP_TALK, "say something to the agent in the guest",
		"In JSON, as QEMU's guest agent has it. At your own risk.", agent_command_options,
		cmd_qemu_agent_command, JSON},
	{"guestinfo", GROUP_TALK, "show what the agent knows of the guest",
		"Without an option all that this agent can say.", guestinfo_options, cmd_guestinfo, JSON},
	{"domfsinfo", GROUP_TALK, "list what is mounted in the guest", "Its agent says so.", domain_only,
		cmd_domfsinfo, JSON},
	{"domfsfreeze", GROUP_TALK, "let the guest's filesystems stand still",
		"By its agent, until domfsthaw: what is on the disks then is whole, and nothing in the guest "
		"can write.",
		freeze_options, cmd_domfsfreeze, 0},
	{"domfsthaw", GROUP_TALK, "let the guest's filesystems go on", "By its agent.", thaw_options,
		cmd_domfsthaw, 0},
	{"domfstrim", GROUP_TALK, "let the guest give free blocks back", "By its agent.", trim_options,
		cmd_domfstrim, 0},
	{"domtime", GROUP_TALK, "show or set the guest's clock", "By its agent.", time_options, cmd_domtime,
		JSON},

	{"domhostname", GROUP_TALK, "print the guest's name", "Its agent says so.", hostname_options,
		cmd_domhostname, JSON},
	{"domifaddr", GROUP_TALK, "list the guest's network addresses",
		"With --source agent: its agent says so.", addresses_options, cmd_domifaddr, JSON},
	{"set-user-password", GROUP_TALK, "set a user's password in the guest", "By its agent.",
		password_options, cmd_set_user_password, 0},
	{"setvcpus", GROUP_TALK, "let the guest use fewer of its vCPUs, or more",
		"With --guest: by its agent, until it boots anew. vCPUs are not plugged in or out.",
		setvcpus_options, cmd_setvcpus, 0},
	{"guest-agent-timeout", GROUP_TALK, "say how long its agent may take",
		"For commands that are not told otherwise.", agent_timeout_options, cmd_guest_agent_timeout,
		0},

	{"domstats", GROUP_FIGURES, "show figures of one, several or all VMs", NULL, domstats_options,
		cmd_domstats, JSON},
	{"dommemstat", GROUP_FIGURES, "show its use of memory", "In KiB, and counts of page faults.",
		domain_only, cmd_dommemstat, JSON},
	{"domblkstat", GROUP_FIGURES, "show what a disk has read and written", NULL, domblkstat_options,
		cmd_domblkstat, JSON},
	{"domblkinfo", GROUP_FIGURES, "show the size of disks", NULL, domblkinfo_options, cmd_domblkinfo,
		JSON},
	{"domifstat", GROUP_FIGURES, "show what an interface has sent and received", NULL, domifstat_options,
		cmd_domifstat, JSON},
	{"vcpuinfo", GROUP_FIGURES, "show its vCPUs and where they run", NULL, vcpuinfo_options, cmd_vcpuinfo,
		JSON},
	{"vcpucount", GROUP_FIGURES, "print how many vCPUs it has", NULL, vcpucount_options, cmd_vcpucount,
		JSON},
	{"cpu-stats", GROUP_FIGURES, "show its CPU time", NULL, cpu_stats_options, cmd_cpu_stats, JSON},

	{"snapshot-list", GROUP_SNAPSHOT, "draw the tree of a VM's snapshots",
		"Also 'snapshot list'. How old each one is, what its memory and the disks it froze take on "
		"the host, "
		"and, marked with '*', where the VM is. What is inside disk images has no size of its own.",
		domain_only, cmd_snapshot_list, JSON},
	{"snapshot-save", GROUP_SNAPSHOT, "take a snapshot of a VM",
		"Also 'snapshot save'. Of its disks and, when it runs, of its memory; it runs on.",
		snapshot_save_options, cmd_snapshot_save, 0},
	{"snapshot-rollback", GROUP_SNAPSHOT, "put a VM back to where it was",
		"Also 'snapshot rollback'. What it did since is lost, unless there is a snapshot of it.",
		snapshot_rollback_options, cmd_snapshot_rollback, 0},
	{"snapshot-delete", GROUP_SNAPSHOT, "delete a snapshot",
		"Also 'snapshot delete'. The VM, and the other snapshots, keep what they have.",
		snapshot_delete_options, cmd_snapshot_delete, 0},

	{"lease-list", GROUP_LEASE, "list what running VMs hold",
		"Also 'lease list'. With the lock manager, the state of each VM's leases, and what they are "
		"for.",
		NULL, cmd_lease_list, JSON},
	{"lease-show", GROUP_LEASE, "show what a VM holds",
		"Also 'lease show'. Asks the lock manager how much of it QEMU really holds.", domain_only,
		cmd_lease_show, JSON},
	{"lease-lost", GROUP_LEASE, "tell the daemon that a VM has lost its leases",
		"For sanlock, which runs this: the VM is paused, ended, or started again, as its "
		"<on_lockfailure> "
		"says.",
		lease_lost_options, cmd_lease_lost, 0},

	{"version", GROUP_HOST, "show versions", NULL, version_options, cmd_version, JSON},
	{"uri", GROUP_HOST, "print the connection's URI", NULL, NULL, cmd_uri, JSON},
	{"hostname", GROUP_HOST, "print the host's name", NULL, NULL, cmd_hostname, JSON},
	{"nodeinfo", GROUP_HOST, "show the host's CPUs and memory", NULL, NULL, cmd_nodeinfo, JSON},
	{"nodememstats", GROUP_HOST, "show the host's use of memory", NULL, nodememstats_options,
		cmd_nodememstats, JSON},
	{"nodecpustats", GROUP_HOST, "show the host's CPU times", "In nanoseconds.", nodecpustats_options,
		cmd_nodecpustats, JSON},
	{"nodecpumap", GROUP_HOST, "show which CPUs are online", NULL, nodecpumap_options, cmd_nodecpumap,
		JSON},
	{"freecell", GROUP_HOST, "show the host's free memory", NULL, freecell_options, cmd_freecell, JSON},
	{"maxvcpus", GROUP_HOST, "print how many vCPUs a VM may have", NULL, maxvcpus_options, cmd_maxvcpus,
		JSON},
	{"capabilities", GROUP_HOST, "print what the host can do, as XML", NULL, xpath_options,
		cmd_capabilities, 0},
	{"domcapabilities", GROUP_HOST, "print what a VM here can have, as XML", NULL,
		domcapabilities_options, cmd_domcapabilities, 0},
	{"cpu-models", GROUP_HOST, "list CPU models", NULL, cpu_models_options, cmd_cpu_models, JSON},
	{"sysinfo", GROUP_HOST, "print what the firmware says of the host, as XML", NULL, NULL, cmd_sysinfo,
		0},
	{"net-list", GROUP_HOST, "list networks", "godwitd keeps none.", net_list_options, cmd_net_list,
		JSON},
	{"pool-list", GROUP_HOST, "list storage pools", "godwitd keeps none.", pool_list_options,
		cmd_pool_list, JSON},
	{"iface-list", GROUP_HOST, "list interfaces of the host", "godwitd keeps none.", iface_list_options,
		cmd_iface_list, JSON},
	{"nodedev-list", GROUP_HOST, "list devices of the host", "godwitd keeps none.", NULL,
		cmd_nodedev_list, JSON},
	{"secret-list", GROUP_HOST, "list secrets", "godwitd keeps none.", secret_list_options,
		cmd_secret_list, JSON},
	{"nwfilter-list", GROUP_HOST, "list network filters", "godwitd keeps none.", NULL, cmd_nwfilter_list,
		JSON},

	{"help", GROUP_HELP, "explain godwit, or one command", NULL, help_options, cmd_help, 0},
	{NULL, GROUP_MAX_, NULL, NULL, NULL, NULL, 0},
};

static const struct {
	const char *title, *keyword;
} groups[] = {
	[GROUP_START] = {"Start and stop", "start-stop"},
	[GROUP_SAVE] = {"Put down and pick up", "saving"},
	[GROUP_MOVE] = {"Move to another host", "move"},
	[GROUP_LOOK] = {"Look at", "look"},
	[GROUP_CHANGE] = {"Define and change", "change"},
	[GROUP_TALK] = {"Talk to the guest and its QEMU", "talk"},
	[GROUP_FIGURES] = {"Figures", "figures"},
	[GROUP_SNAPSHOT] = {"Snapshots", "snapshot"},
	[GROUP_LEASE] = {"Leases", "lease"},
	[GROUP_HOST] = {"Host and daemon", "host"},
	[GROUP_HELP] = {"Help", "helping"},
};

_Static_assert(ARRAY_SIZE(groups) == GROUP_MAX_, "every group has a title");

const char *command_group_title(enum command_group group)
{
	return groups[group].title;
}

const char *command_group_keyword(enum command_group group)
{
	return groups[group].keyword;
}

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (streq(c->name, name))
			return c;
	return NULL;
}

const struct command *command_find_words(int n, char *const *words, int *ret_used)
{
	const struct command *c = command_find(words[0]);

	*ret_used = 1;
	if (!c && n > 1) {
		_cleanup_free_ char *joined = xasprintf("%s-%s", words[0], words[1]);

		c = command_find(joined);
		*ret_used = 2;
	}
	return c;
}

/* How many letters must be put in, left out, changed, or swapped with their neighbour to turn one into the other. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	_cleanup_free_ size_t *cells = xcalloc((n + 1) * (m + 1), sizeof(*cells));

#define CELL(i, j) cells[(i) * (m + 1) + (j)]
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			size_t best;

			if (i == 0 || j == 0) {
				CELL(i, j) = i + j;
				continue;
			}
			best = CELL(i - 1, j - 1) + (a[i - 1] != b[j - 1]);
			if (CELL(i - 1, j) + 1 < best)
				best = CELL(i - 1, j) + 1;
			if (CELL(i, j - 1) + 1 < best)
				best = CELL(i, j - 1) + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				CELL(i - 2, j - 2) + 1 < best)
				best = CELL(i - 2, j - 2) + 1;
			CELL(i, j) = best;
		}
	}
	return CELL(n, m);
#undef CELL
}

const struct command *command_suggest(const char *name)
{
	const struct command *nearest = NULL;
	size_t best = 0;

	if (strlen(name) > 64)
		return NULL;
	for (const struct command *c = commands; c->name; c++) {
		size_t distance = edit_distance(name, c->name);

		/* who types "state" means domstate, who types "save-image" one of its family */
		if (endswith(c->name, name) || startswith(c->name, name))
			distance = 1;
		if (!nearest || distance < best) {
			nearest = c;
			best = distance;
		}
	}
	/* a third of its letters may be wrong */
	return best <= strlen(name) / 3 || best == 1 ? nearest : NULL;
}
