/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firmware's word on the machine (SMBIOS), from the part of it that sysfs shows. */
#include "host-internal.h"
#include "xml.h"

struct entry {
	const char *name, *file;
};

static void put_block(
	struct host *h, struct xml_writer *w, const char *block, const struct entry *entries, size_t n)
{
	bool begun = false;

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *text = host_read_text(h, "sys/class/dmi/id/%s", entries[i].file);

		if (!text || !*text)
			continue;
		if (!begun)
			xml_begin(w, block);
		begun = true;
		xml_begin(w, "entry");
		xml_put_attr(w, "name", entries[i].name);
		xml_put_text(w, text);
		xml_end(w, "entry");
	}
	if (begun)
		xml_end(w, block);
}

char *host_format_sysinfo(struct host *h)
{
	static const struct entry bios[] = {{"vendor", "bios_vendor"}, {"version", "bios_version"},
		{"date", "bios_date"}, {"release", "bios_release"}};
	static const struct entry system[] = {{"manufacturer", "sys_vendor"}, {"product", "product_name"},
		{"version", "product_version"}, {"serial", "product_serial"}, {"uuid", "product_uuid"},
		{"sku", "product_sku"}, {"family", "product_family"}};
	static const struct entry board[] = {{"manufacturer", "board_vendor"}, {"product", "board_name"},
		{"version", "board_version"}, {"serial", "board_serial"}, {"asset", "board_asset_tag"}};
	static const struct entry chassis[] = {{"manufacturer", "chassis_vendor"},
		{"version", "chassis_version"}, {"serial", "chassis_serial"}, {"asset", "chassis_asset_tag"}};
	_cleanup_(buf_fini) struct buf out = {0};
	struct xml_writer w = {.out = &out};

	xml_begin(&w, "sysinfo");
	xml_put_attr(&w, "type", "smbios");
	put_block(h, &w, "bios", bios, ARRAY_SIZE(bios));
	put_block(h, &w, "system", system, ARRAY_SIZE(system));
	put_block(h, &w, "baseBoard", board, ARRAY_SIZE(board));
	put_block(h, &w, "chassis", chassis, ARRAY_SIZE(chassis));
	xml_end(&w, "sysinfo");
	return buf_take(&out);
}
