/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plans carried out on a model of a VM and its images: an image is what was written to it, block by block, and what it stands on. After every
 * step of a plan what the VM and every snapshot that stays would read must be what it was.
 */
#include "alloc.h"
#include "disk.h"
#include "snapshot-plan.h"
#include "strv.h"
#include "tap.h"

#define BLOCKS	   5
#define UNWRITTEN  0
#define IMAGES_MAX 64
#define DISKS	   2 /* of which a world may use but the first */

struct image {
	char *path;
	char *on; /* NULL: nothing */
	unsigned blocks[BLOCKS];
	bool made;
};

struct world {
	struct image images[IMAGES_MAX];
	size_t n_images;
	struct snapshot_tree tree;
	struct image_links remembered;
	struct domain *domain;
	unsigned written;			  /* so that all writes differ */
	unsigned seen[IMAGES_MAX][DISKS][BLOCKS]; /* by the number of the snapshot */
	unsigned present[DISKS][BLOCKS];
	char *names[IMAGES_MAX]; /* of snapshots by number; NULL: gone */
	size_t n_snapshots, n_overlays;
	size_t n_disks;
	bool running, twice; /* twice: every step as after a crash */
	const char *wrong;   /* the first that was */
};

static struct image *image_find(struct world *w, const char *path)
{
	for (size_t i = 0; i < w->n_images; i++)
		if (streq(w->images[i].path, path))
			return &w->images[i];
	return NULL;
}

static void wrong(struct world *w, const char *what)
{
	if (!w->wrong)
		w->wrong = what;
}

static const char *image_make(struct world *w, const char *path, const char *on)
{
	struct image *image = &w->images[w->n_images++];

	*image = (struct image){.path = xstrdup(path), .on = xstrdup(on), .made = on != NULL};
	return image->path;
}

static void image_remove(struct world *w, struct image *image)
{
	free(image->path);
	free(image->on);
	*image = w->images[--w->n_images];
}

static unsigned image_read(struct world *w, const char *path, size_t block)
{
	struct image *image = image_find(w, path);

	for (size_t n = 0; image && n <= IMAGES_MAX; n++) {
		if (image->blocks[block] != UNWRITTEN)
			return image->blocks[block];
		if (!image->on)
			return UNWRITTEN;
		image = image_find(w, image->on);
	}
	wrong(w, "a chain without end, or with a hole");
	return UINT32_MAX;
}

/* ---- what users do ---- */

static struct domain *domain_make(size_t n_disks)
{
	struct domain *d = domain_new();

	d->name = xstrdup("vm");
	for (size_t i = 0; i < n_disks; i++) {
		struct disk *disk = xcalloc(1, sizeof(*disk));

		disk->target = xasprintf("vd%c", (char)('a' + i));
		disk->source = xasprintf("/vm/vd%c.img", (char)('a' + i));
		disk->format = DISK_FORMAT_RAW;
		VEC_ADD(&d->disks, disk);
	}
	return d;
}

/* As in domain_copy, but of what matters here. */
static struct domain *domain_again(const struct domain *d)
{
	struct domain *copy = domain_make(d->disks.n);

	for (size_t i = 0; i < d->disks.n; i++) {
		replace_string(&copy->disks.items[i]->source, d->disks.items[i]->source);
		copy->disks.items[i]->format = d->disks.items[i]->format;
	}
	return copy;
}

static void world_init(struct world *w, size_t n_disks, bool running, bool twice)
{
	*w = (struct world){
		.n_disks = n_disks, .domain = domain_make(n_disks), .running = running, .twice = twice};
	for (size_t i = 0; i < w->n_disks; i++)
		image_make(w, w->domain->disks.items[i]->source, NULL);
}

static void world_fini(struct world *w)
{
	while (w->n_images > 0)
		image_remove(w, &w->images[0]);
	for (size_t i = 0; i < w->n_snapshots; i++)
		free(w->names[i]);
	snapshot_tree_fini(&w->tree);
	image_links_fini(&w->remembered);
	domain_free(w->domain);
}

static void guest_writes(struct world *w, unsigned pattern)
{
	for (size_t i = 0; i < w->n_disks; i++) {
		struct image *top = image_find(w, w->domain->disks.items[i]->source);

		for (size_t b = 0; b < BLOCKS; b++)
			if (pattern >> b & 1)
				w->present[i][b] = top->blocks[b] = ++w->written;
	}
}

static const char *overlay(struct world *w, struct disk *disk)
{
	_cleanup_free_ char *path = xasprintf("/vm/%s.%zu", disk->target, w->n_overlays++);

	image_make(w, path, disk->source);
	replace_string(&disk->source, path);
	disk->format = DISK_FORMAT_QCOW2;
	return disk->source;
}

/* `locations`: of its disks. */
static struct snapshot *take(struct world *w, const enum snapshot_location *locations)
{
	struct snapshot *s = NEW(struct snapshot);
	struct error err = ERROR_INIT;

	s->name = xasprintf("s%zu", w->n_snapshots);
	s->parent = xstrdup(w->tree.current);
	s->domain = domain_again(w->domain);
	for (size_t i = 0; i < w->n_disks; i++) {
		struct disk *disk = w->domain->disks.items[i];
		struct snapshot_disk d = {.target = xstrdup(disk->target), .location = locations[i]};

		if (locations[i] == SNAPSHOT_EXTERNAL)
			d.source = xstrdup(overlay(w, disk));
		VEC_ADD(&s->disks, d);
	}
	memcpy(w->seen[w->n_snapshots], w->present, sizeof(w->present));
	w->names[w->n_snapshots++] = xstrdup(s->name);
	if (snapshot_tree_add(&w->tree, s, false, &err) < 0)
		wrong(w, "snapshot_tree_add");
	replace_string(&w->tree.current, s->name);
	return s;
}

static void take_external(struct world *w)
{
	take(w, (enum snapshot_location[DISKS]){SNAPSHOT_EXTERNAL, SNAPSHOT_EXTERNAL});
}

/* What the VM wrote to goes, if no snapshot froze it. */
static void drop_top(struct world *w, const char *path)
{
	struct image *top = image_find(w, path);

	VEC_FOREACH (s, &w->tree.all) {
		VEC_FOREACH (disk, &s->domain->disks) {
			if (streq(disk->source, path))
				return;
		}
	}
	if (top && top->made)
		image_remove(w, top);
}

static void revert(struct world *w, size_t number)
{
	struct snapshot *s = snapshot_tree_find(&w->tree, w->names[number]);

	VEC_FOREACH (disk, &s->revert_disks) {
		free(disk.target);
		free(disk.source);
	}
	VEC_FREE(&s->revert_disks);
	for (size_t i = 0; i < w->n_disks; i++) {
		struct disk *disk = w->domain->disks.items[i];
		const struct disk *then = s->domain->disks.items[i];
		_cleanup_free_ char *before = xstrdup(disk->source);

		if (s->disks.items[i].location != SNAPSHOT_EXTERNAL)
			continue;
		replace_string(&disk->source, then->source);
		disk->format = then->format;
		VEC_ADD(&s->revert_disks, ((struct snapshot_disk){.target = xstrdup(disk->target),
						  .location = SNAPSHOT_EXTERNAL,
						  .source = xstrdup(overlay(w, disk))}));
		drop_top(w, before);
		memcpy(w->present[i], w->seen[number][i], sizeof(w->present[i]));
	}
	replace_string(&w->tree.current, s->name);
}

/* ---- what must hold ---- */

static void check(struct world *w)
{
	for (size_t i = 0; i < w->n_disks; i++)
		for (size_t b = 0; b < BLOCKS; b++)
			if (image_read(w, w->domain->disks.items[i]->source, b) != w->present[i][b])
				wrong(w, "the present has changed");
	for (size_t n = 0; n < w->n_snapshots; n++) {
		const struct snapshot *s = w->names[n] ? snapshot_tree_find(&w->tree, w->names[n]) : NULL;

		for (size_t i = 0; s && i < w->n_disks; i++)
			for (size_t b = 0; b < BLOCKS; b++)
				if (s->disks.items[i].location == SNAPSHOT_EXTERNAL &&
					image_read(w, s->domain->disks.items[i]->source, b) !=
						w->seen[n][i][b])
					wrong(w, "a snapshot that stays has changed");
	}
}

/* Nothing is left lying about: whoever froze nothing and is not the present's stands beneath two, or beneath a state inside. */
static void check_tidy(struct world *w)
{
	for (size_t i = 0; i < w->n_images; i++) {
		unsigned users = 0, names = 0;

		for (size_t j = 0; j < w->n_images; j++)
			users += streq(w->images[j].on, w->images[i].path);
		VEC_FOREACH (s, &w->tree.all) {
			VEC_FOREACH (disk, &s->domain->disks)
				names += streq(disk->source, w->images[i].path);
		}
		VEC_FOREACH (disk, &w->domain->disks)
			names += streq(disk->source, w->images[i].path);
		if (names == 0 && users < 2)
			wrong(w, "an image that nobody needs is still there");
	}
}

/* ---- plans ---- */

static void look(struct world *w, const char *path, struct image_links *ret)
{
	for (struct image *image = image_find(w, path); image;
		image = image->on ? image_find(w, image->on) : NULL)
		image_links_add(
			ret, &(struct image_link){.target = image->path,
				     .image = image->path,
				     .on = image->on,
				     .on_format = image_find(w, image->on) && image_find(w, image->on)->on
							  ? DISK_FORMAT_QCOW2
							  : DISK_FORMAT_RAW});
}

static void look_all(struct world *w, struct image_links *ret)
{
	VEC_FOREACH (link, &w->remembered.items)
		look(w, link.image, ret);
	VEC_FOREACH (disk, &w->domain->disks)
		look(w, disk->source, ret);
	VEC_FOREACH (s, &w->tree.all) {
		VEC_FOREACH (disk, &s->domain->disks)
			look(w, disk->source, ret);
		VEC_FOREACH (disk, &s->disks)
			look(w, disk.source, ret);
		VEC_FOREACH (disk, &s->revert_disks)
			look(w, disk.source, ret);
	}
}

/* As QEMU does it: what was written to one of them goes into the lowest, the uppermost's first. */
static void commit(struct world *w, const struct image_step *merge)
{
	struct image *into = image_find(w, merge->on);
	size_t n = 0;

	for (size_t b = 0; b < BLOCKS; b++) {
		struct image *at = image_find(w, merge->image);
		unsigned value = UNWRITTEN;

		for (n = 0; at && at != into && n < IMAGES_MAX; at = image_find(w, at->on), n++)
			if (value == UNWRITTEN)
				value = at->blocks[b];
		if (!into || at != into)
			break;
		if (value != UNWRITTEN)
			into->blocks[b] = value;
	}
	check(w);
	if (n != merge->between.n + 1)
		wrong(w, "a merge is not a run of images");
}

static void rename_all(struct world *w, const struct image_step *merge)
{
	VEC_FOREACH (s, &w->tree.all)
		image_merge_rename_domain(merge, s->domain);
	check(w);
	image_merge_rename_domain(merge, w->domain);
	check(w);
	if (image_merge_is_named_by(merge, w->domain))
		wrong(w, "an image that goes is still named");
}

static void carry_out_merge(struct world *w, const struct image_step *merge)
{
	for (size_t n = 0; n <= w->twice; n++) {
		commit(w, merge);
		VEC_FOREACH (above, &merge->above) {
			struct image *image = image_find(w, above.path);

			if (!image)
				wrong(w, "an image above a merge is not there");
			else
				replace_string(&image->on, merge->on);
			check(w);
		}
	}
	rename_all(w, merge);
	image_remove(w, image_find(w, merge->image));
	for (size_t i = 0; i < merge->between.n; i++)
		image_remove(w, image_find(w, merge->between.items[i]));
	check(w);
}

static void carry_out_removals(struct world *w, const struct image_plan *plan)
{
	for (size_t i = 0; i < plan->removals.n; i++) {
		struct image *image = image_find(w, plan->removals.items[i].image);

		if (!image) /* going back removed it */
			continue;
		if (!image->made)
			wrong(w, "a user's image was to be removed");
		image_remove(w, image);
		check(w);
	}
}

static void plan_json(struct image_plan *plan)
{
	json *o = image_plan_encode(plan);
	struct error err = ERROR_INIT;
	_cleanup_free_ char *text = json_format(o), *again = NULL;
	json *o2;

	image_plan_fini(plan);
	image_plan_decode(o, plan, &err);
	o2 = image_plan_encode(plan);
	again = json_format(o2);
	if (!streq(text, again))
		image_plan_fini(plan);
	json_object_put(o);
	json_object_put(o2);
}

static void delete_set(struct world *w, const struct strv *leaving)
{
	struct image_links looked = {0};
	struct image_plan plan;

	look_all(w, &looked);
	image_plan_make(&(struct image_graph_input){.tree = &w->tree,
				.leaving = leaving,
				.persistent = w->domain,
				.live = w->running ? w->domain : NULL,
				.looked = &looked,
				.remembered = &w->remembered},
		&plan);
	if (w->twice)
		plan_json(&plan);
	for (size_t i = 0; i < leaving->n; i++)
		for (size_t n = 0; n < w->n_snapshots; n++)
			if (streq(w->names[n], leaving->items[i]))
				replace_string(&w->names[n], NULL);
	for (size_t i = 0; i < plan.merges.n; i++)
		carry_out_merge(w, &plan.merges.items[i]);
	for (size_t i = 0; i < leaving->n; i++)
		snapshot_tree_remove(&w->tree, snapshot_tree_find(&w->tree, leaving->items[i]));
	carry_out_removals(w, &plan);
	image_links_fini(&w->remembered);
	w->remembered = plan.remembered;
	plan.remembered = (struct image_links){0};
	image_plan_fini(&plan);
	image_links_fini(&looked);
	check(w);
}

static void delete_one(struct world *w, size_t number)
{
	struct strv leaving = {0};

	strv_add(&leaving, w->names[number]);
	delete_set(w, &leaving);
	strv_fini(&leaving);
}

/* All are gone: every disk is one image, the user's. */
static void check_alone(struct world *w)
{
	if (w->n_images != w->n_disks || w->remembered.items.n != 0)
		wrong(w, "more than the user's images is left");
	for (size_t i = 0; i < w->n_disks; i++)
		if (!startswith(w->domain->disks.items[i]->source + 4, w->domain->disks.items[i]->target) ||
			!endswith(w->domain->disks.items[i]->source, ".img") ||
			w->domain->disks.items[i]->format != DISK_FORMAT_RAW)
			wrong(w, "the disk is not called what it was");
}

/* ---- every tree, every order ---- */

#define SNAPSHOTS 5

/* `tree`, in mixed radix: whose child each one is, and where the VM is in the end. */
static void grow(struct world *w, unsigned tree, size_t n)
{
	guest_writes(w, 0x1f);
	for (size_t i = 0; i < n; i++) {
		unsigned parent = i > 0 ? tree % (unsigned)i : 0;

		if (i > 0 && parent != i - 1)
			revert(w, parent);
		tree /= i > 0 ? (unsigned)i : 1;
		guest_writes(w, 0x2bu << i % 3 | 1u << i);
		take_external(w);
		guest_writes(w, 0x11u << i % 3);
	}
	if (tree % (unsigned)(n + 1) < n)
		revert(w, tree % (unsigned)(n + 1));
	guest_writes(w, 0x24);
}

static void order_at(unsigned order, size_t n, size_t *ret)
{
	size_t left[SNAPSHOTS];

	for (size_t i = 0; i < n; i++)
		left[i] = i;
	for (size_t i = 0; i < n; i++) {
		size_t k = order % (n - i);

		order /= (unsigned)(n - i);
		ret[i] = left[k];
		memmove(&left[k], &left[k + 1], (n - i - 1 - k) * sizeof(left[0]));
	}
}

static void test_all_orders(size_t n, bool running)
{
	static const unsigned factorial[] = {1, 1, 2, 6, 24, 120, 720};
	unsigned trees = factorial[n - 1] * (unsigned)(n + 1), failed = 0;
	size_t order[SNAPSHOTS];
	char name[80];

	for (unsigned tree = 0; tree < trees; tree++)
		for (unsigned o = 0; o < factorial[n] && failed == 0; o++) {
			struct world w;

			world_init(&w, n < SNAPSHOTS ? 2 : 1, running, o % 2);
			grow(&w, tree, n);
			check(&w);
			order_at(o, n, order);
			for (size_t i = 0; i < n; i++) {
				delete_one(&w, order[i]);
				check_tidy(&w);
				guest_writes(&w, 1u << i);
				check(&w);
			}
			check_alone(&w);
			if (w.wrong) {
				printf("# tree %u, order %u: %s\n", tree, o, w.wrong);
				failed++;
			}
			world_fini(&w);
		}
	snprintf(name, sizeof(name), "%u trees of %zu snapshots, %s, all orders", trees, n,
		running ? "running" : "off");
	ok(failed == 0, name);
}

/* ---- sets, and whatever comes ---- */

static unsigned next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33);
}

/* One that is there; SIZE_MAX: none. */
static size_t any(struct world *w, unsigned r)
{
	size_t there[IMAGES_MAX], n = 0;

	for (size_t i = 0; i < w->n_snapshots; i++)
		if (w->names[i])
			there[n++] = i;
	return n > 0 ? there[r % n] : SIZE_MAX;
}

static void delete_some(struct world *w, unsigned r)
{
	struct strv leaving = {0};

	for (size_t i = 0; i < w->n_snapshots; i++)
		if (w->names[i] && r >> i % 16 & 1)
			strv_add(&leaving, w->names[i]);
	delete_set(w, &leaving);
	strv_fini(&leaving);
}

static enum snapshot_location any_location(unsigned r)
{
	return r % 4 == 0 ? SNAPSHOT_NO : SNAPSHOT_EXTERNAL;
}

static void random_step(struct world *w, uint64_t *seed)
{
	unsigned what = next_random(seed) % 8, r = next_random(seed);
	size_t number = any(w, r);

	if (what < 3) {
		take(w, (enum snapshot_location[DISKS]){any_location(r), any_location(r / 4)});
	} else if (what < 5 && number != SIZE_MAX) {
		revert(w, number);
	} else if (what < 7 && number != SIZE_MAX) {
		delete_one(w, number);
	} else if (what == 7) {
		delete_some(w, r);
	}
	guest_writes(w, r & 0x1f);
	check(w);
}

static void test_random(void)
{
	unsigned failed = 0;

	for (unsigned n = 0; n < 2000 && failed == 0; n++) {
		uint64_t seed = n;
		struct world w;

		world_init(&w, 2, n % 2, n / 2 % 2);
		for (size_t i = 0; i < 30; i++)
			random_step(&w, &seed);
		delete_some(&w, UINT32_MAX);
		check_alone(&w);
		if (w.wrong) {
			printf("# seed %u: %s\n", n, w.wrong);
			failed++;
		}
		world_fini(&w);
	}
	ok(failed == 0, "2000 lives of 30 steps");
}

/* ---- what may not be merged ---- */

/* base <- 0 <- 1, which s0 and s1 froze; s0 is to go. */
static void plan_without_first(
	struct world *w, enum snapshot_location of_second, const char *foreign, struct image_plan *ret)
{
	struct strv leaving = {0}, others = {0};
	struct image_links looked = {0};

	world_init(w, 1, false, false);
	take_external(w);
	guest_writes(w, 1);
	take(w, (enum snapshot_location[DISKS]){of_second, of_second});
	take_external(w);
	strv_add(&leaving, "s0");
	if (foreign)
		strv_add(&others, foreign);
	look_all(w, &looked);
	image_plan_make(&(struct image_graph_input){.tree = &w->tree,
				.leaving = &leaving,
				.persistent = w->domain,
				.looked = &looked,
				.remembered = &w->remembered,
				.foreign = &others},
		ret);
	strv_fini(&leaving);
	strv_fini(&others);
	image_links_fini(&looked);
}

static void test_kept(enum snapshot_location location, const char *foreign, size_t merges, const char *name)
{
	struct image_plan plan;
	struct world w;

	plan_without_first(&w, location, foreign, &plan);
	is_int(plan.merges.n, merges, name);
	is_int(plan.removals.n, 0, "... and nothing goes");
	/* Then it is not forgotten that they could be. */
	is_int(plan.remembered.items.n, 1 - merges, "... and what stays is remembered");
	image_plan_fini(&plan);
	world_fini(&w);
}

static void test_not_merged(void)
{
	test_kept(SNAPSHOT_EXTERNAL, NULL, 1, "an image of no special kind is merged");
	test_kept(SNAPSHOT_NO, NULL, 1, "also when a snapshot names it and did nothing to it");
	test_kept(SNAPSHOT_INTERNAL, NULL, 0, "an image with states inside stays by itself");
	test_kept(SNAPSHOT_MANUAL, NULL, 0, "an image that a storage snapshot has stays by itself");
	test_kept(SNAPSHOT_EXTERNAL, "/vm/vda.img", 0, "an image that another VM stands on is not written");
	test_kept(SNAPSHOT_EXTERNAL, "/vm/vda.0", 0, "an image that another VM uses does not go");
}

/* The disk was taken from the VM after the snapshot: its image stays, and what that stands on. */
static void test_detached(void)
{
	struct image_links looked = {0};
	struct strv leaving = {0};
	struct image_plan plan;
	struct world w;

	world_init(&w, 1, false, false);
	take_external(&w);
	take_external(&w);
	look_all(&w, &looked);
	replace_string(&w.domain->disks.items[0]->source, "/vm/other.img");
	strv_add(&leaving, "s0");
	strv_add(&leaving, "s1");
	image_plan_make(
		&(struct image_graph_input){
			.tree = &w.tree, .leaving = &leaving, .persistent = w.domain, .looked = &looked},
		&plan);
	is_int(plan.removals.n, 0, "nothing beneath a detached disk goes");
	is_int(plan.merges.n, 1, "what is between is merged");
	is_str(plan.merges.items[0].image, "/vm/vda.0", "... and not the disk");
	image_plan_fini(&plan);
	image_links_fini(&looked);
	strv_fini(&leaving);
	world_fini(&w);
}

static void test_nothing(void)
{
	struct snapshot_tree tree = {0};
	struct strv leaving = {0};
	struct image_plan plan;
	struct domain *d = domain_make(1);

	image_plan_make(
		&(struct image_graph_input){.tree = &tree, .leaving = &leaving, .persistent = d}, &plan);
	ok(plan.merges.n == 0 && plan.removals.n == 0, "without snapshots there is nothing to do");
	image_plan_fini(&plan);
	domain_free(d);
}

int main(void)
{
	test_not_merged();
	test_nothing();
	test_detached();
	for (size_t n = 1; n <= SNAPSHOTS; n++)
		test_all_orders(n, n % 2);
	test_random();
	return done_testing();
}
