/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions behind the commands of table.c, by the file that has them.
 * size: a list.
 */
#pragma once

#include "cli.h"

/* cmd-life.c */
int cmd_define(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_create(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_undefine(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_start(struct cli *cli, const struct arguments *args, struct error *err);
unsigned cli_start_extra(
	const struct arguments *args); /* --force, --eager: `extra` of godwit's own start and restore */
int cmd_shutdown(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_reboot(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_destroy(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_reset(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_suspend(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_resume(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_inject_nmi(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_autostart(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domrename(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-block.c */
int cmd_blockcommit(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_blockpull(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_blockjob(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_blockresize(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-console.c */
int cmd_console(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-save.c */
int cmd_save(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_restore(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_save_image_dumpxml(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_save_image_define(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_save_image_edit(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_managedsave(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_managedsave_remove(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_managedsave_dumpxml(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_managedsave_define(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_managedsave_edit(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-image.c */
int cmd_image_info(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_image_verify(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_image_convert(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-job.c */
int cmd_domjobinfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domjobabort(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-migrate.c */
int cmd_migrate(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-evacuate.c */
int cmd_evacuate(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-migrate-limit.c */
int cmd_migrate_setmaxdowntime(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_migrate_getmaxdowntime(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_migrate_setspeed(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_migrate_getspeed(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_migrate_compcache(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_migrate_resolve(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_migrate_postcopy(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-list.c */
int cmd_list(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-show.c */
int cmd_domstate(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domname(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domid(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domuuid(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_dominfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domcontrol(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_dumpxml(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domxml_to_native(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-device.c */
int cmd_domblklist(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domblkinfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domiflist(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domif_getlink(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_ttyconsole(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domdisplay(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_vncdisplay(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-plug.c */
int cmd_attach_disk(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_detach_disk(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_attach_device(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_detach_device(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_detach_device_alias(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-edit.c */
int cmd_edit(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_desc(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_metadata(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-event.c */
int cmd_event(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_qemu_monitor_event(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-stats.c */
int cmd_domstats(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_dommemstat(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domblkstat(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domblkerror(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domifstat(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-vcpu.c */
int cmd_nodecpumap(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_vcpuinfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_vcpucount(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_cpu_stats(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-agent.c */
int cmd_domfsfreeze(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domfsthaw(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domfstrim(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domfsinfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domtime(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_qemu_agent_command(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_guestinfo(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-guest.c */
int cmd_domhostname(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domifaddr(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_set_user_password(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_guest_agent_timeout(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_setvcpus(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-snapshot.c */
int cmd_snapshot_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_snapshot_save(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_snapshot_rollback(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_snapshot_delete(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-clone.c */
int cmd_clone(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-lease.c */
int cmd_lease_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_lease_show(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_lease_lost(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-host.c */
int cmd_hostname(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_uri(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_capabilities(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_sysinfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_domcapabilities(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_cpu_models(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_maxvcpus(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_version(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_nodeinfo(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_nodememstats(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_nodecpustats(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_freecell(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-export.c, cmd-import.c */
int cmd_image_export(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_image_import(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-monitor.c */
int cmd_qemu_monitor_command(struct cli *cli, const struct arguments *args, struct error *err);

/* cmd-objects.c */
int cmd_net_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_pool_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_nwfilter_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_iface_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_nodedev_list(struct cli *cli, const struct arguments *args, struct error *err);
int cmd_secret_list(struct cli *cli, const struct arguments *args, struct error *err);

/* help.c */
int cmd_help(struct cli *cli, const struct arguments *args, struct error *err);
