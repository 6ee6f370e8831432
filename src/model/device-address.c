/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses for every device, and what the kinds of addresses share. */
#include "device-address.h"

#include <ctype.h>

#include "defaults.h"
#include "strv.h"

bool disk_target_index(const char *target, uint32_t *ret)
{
	static const char *const prefixes[] = {"fd", "hd", "vd", "sd", "xvd", "ubd"};
	uint32_t index = 0;
	const char *p = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (startswith(target, prefixes[i]))
			p = target + strlen(prefixes[i]);
	if (!p || *p < 'a' || *p > 'z' || strlen(p) > 4)
		return false;
	for (; *p; p++) {
		if (*p < 'a' || *p > 'z')
			return false;
		index = index * 26 + (uint32_t)(*p - 'a') + 1;
	}
	*ret = index - 1;
	return true;
}

struct controller *controller_new(enum controller_type type, enum controller_model model, uint32_t index)
{
	struct controller *c = NEW(struct controller);

	c->type = type;
	c->model = model;
	c->index = index;
	c->usb_master_startport = -1;
	c->chassis = c->port = c->chassis_nr = -1;
	return c;
}

void domain_add_controller(struct domain *d, struct controller *c)
{
	size_t at = d->controllers.n;
	bool found = false;

	for (size_t i = d->controllers.n; i-- > 0;) {
		if (d->controllers.items[i]->type != c->type)
			continue;
		if (d->controllers.items[i]->index > c->index) {
			at = i;
			found = true;
		} else if (!found) {
			at = i + 1;
			break;
		}
	}
	VEC_ADD(&d->controllers, c);
	for (size_t i = d->controllers.n - 1; i > at; i--)
		d->controllers.items[i] = d->controllers.items[i - 1];
	d->controllers.items[at] = c;
}

struct controller *domain_find_controller(const struct domain *d, enum controller_type type, uint32_t index)
{
	VEC_FOREACH (c, &d->controllers)
		if (c->type == type && c->index == index)
			return c;
	return NULL;
}

bool controller_is_builtin(const struct domain *d, const struct controller *c)
{
	if (c->index)
		return false;
	return c->type == CONTROLLER_PCI || c->type == CONTROLLER_IDE ||
	       (c->type == CONTROLLER_FDC && !domain_is_q35(d)) ||
	       (c->type == CONTROLLER_SATA && domain_is_q35(d));
}

int domain_assign_addresses(struct domain *d, struct error *err)
{
	if (address_assign_drives(d, err) < 0 || address_assign_virtio_serial(d, err) < 0)
		return -1;
	if (address_assign_pci(d, err) < 0)
		return -1;
	return address_assign_usb(d, err);
}
