/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images that name each other by relative paths, as a directory that is moved as a whole needs them: what stands above the merged ones names what
 * is below them by the names they had for each other, one after the other.
 */
#include "block-job-internal.h"

#include "chain.h"

/* What the header of the image behind this node says that it stands on; NULL: nothing. */
static const char *find_name(json *nodes, uint32_t number)
{
	_cleanup_free_ char *node = block_job_format_node(number);
	const char *name = NULL;

	JSON_FOREACH (entry, nodes)
		if (streq(json_get_string(entry, "node-name"), node))
			name = json_get_string(json_get(entry, "image"), "backing-filename");
	return name;
}

/* "../a/mid" and "base": "../a/base". Takes `from`, which may be NULL. */
static char *walk(char *from, const char *name)
{
	const char *slash = from ? strrchr(from, '/') : NULL;
	char *path = slash ? xasprintf("%.*s/%s", (int)(slash - from), from, name) : xstrdup(name);

	free(from);
	return path;
}

int block_job_find_relative(struct block_job *job, json *nodes)
{
	const struct disk *disk = block_job_get_disk(job);
	size_t above = job->type == BLOCK_JOB_PULL ? 0 : job->first - 1;
	char *path = NULL;

	for (size_t i = above; disk && i <= job->last; i++) {
		const struct disk_layer layer = chain_get(disk, i);
		const char *name = find_name(nodes, layer.node);

		if (!name || name[0] == '/' || strchr(name, ':')) {
			free(path);
			return error_set(&job->failure, ERROR_OPERATION_INVALID,
				"can't keep relative backing relationship: image '%s' names what it stands "
				"on '%s'",
				layer.source, name ? name : "");
		}
		path = walk(path, name);
	}
	free(job->backing_file);
	job->backing_file = path;
	return 0;
}
