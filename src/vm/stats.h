/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM's figures: from QEMU's monitor, /proc and /sys, without help from the guest except its balloon driver.
 *
 * They are asked for without waiting for a job, and a QEMU that does not answer within VM_STATS_TIMEOUT_USEC costs only
 * the figures that would have come from it.
 */
#pragma once

#include "vm.h"

#define VM_STATS_TIMEOUT_USEC (5 * 1000000ull)

/* What to ask for; the rest stays zero. */
enum {
	VM_STATS_CPU = 1 << 0,
	VM_STATS_BALLOON = 1 << 1,
	VM_STATS_VCPU = 1 << 2,
	VM_STATS_BLOCK = 1 << 3,
	VM_STATS_BLOCK_SIZE = 1 << 4,
	VM_STATS_BACKING = 1 << 5, /* with these: of what the disks stand on, too */
};

struct vm_block_stats {
	char *target, *path,
		*alias; /* path NULL: empty drive; alias NULL: a backing image of the disk before it */
	uint32_t node;	/* as in struct disk */
	bool has_counts;
	uint64_t read_requests, read_bytes, read_ns;
	uint64_t write_requests, write_bytes, write_ns;
	uint64_t flush_requests, flush_ns;
	uint64_t failed; /* requests */
	bool has_size;
	uint64_t allocation, capacity, physical; /* bytes */
	enum { VM_BLOCK_OK, VM_BLOCK_FAILED, VM_BLOCK_NO_SPACE } io_status;
};

struct vm_vcpu_stats {
	uint32_t number;
	pid_t tid;
	bool running;		    /* on a host CPU or ready to be; otherwise it waits */
	uint64_t time_ns, delay_ns; /* ran; was ready and did not run */
	int cpu;		    /* where it ran last */
};

struct vm_memory_stat {
	int tag;	/* virDomainMemoryStatTags */
	uint64_t value; /* KiB, counts, or seconds since 1970 */
};

struct vm_stats {
	struct vm *vm;
	uint64_t cpu_user_ns, cpu_system_ns; /* of the QEMU process */
	VEC(struct vm_memory_stat) memory;
	VEC(struct vm_vcpu_stats) vcpus;
	VEC(struct vm_block_stats) blocks; /* in the definition's order */
};

/* `err` is set when QEMU did not answer some of it; what is known stands in `stats` all the same. Both borrowed. */
typedef void (*vm_stats_fn)(const struct vm_stats *stats, const struct error *err, void *userdata);

/* done is called exactly once, from the loop. For VMs that are off only the disks are listed. */
void vm_stats_find(struct vm *vm, unsigned what, vm_stats_fn done, void *userdata);

/* Counters of a tap device as the guest sees them: what the host sent, it received. Immediate. */
struct vm_nic_stats {
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
int vm_stats_get_nic(const char *device, struct vm_nic_stats *ret, struct error *err);

/* Sizes of a disk's file when no QEMU has it open: raw and qcow2. */
int vm_stats_get_file_size(const struct disk *disk, struct vm_block_stats *ret, struct error *err);
