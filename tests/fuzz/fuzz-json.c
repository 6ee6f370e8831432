/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON as QEMU's monitor or a file may hand it to us: parse, look around, format, parse again. */
#include <assert.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json *o = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;

	if (json_parse((const char *)data, size, &o, &err) < 0) {
		assert(err.code != ERROR_NONE && !o);
		return 0;
	}
	json_get_path(o, "return.0.a");
	json_get_string(o, "event");
	json_get_uint(o, "id", 0);
	text = json_format(o);
	assert(json_parse(text, strlen(text), &again, &err) == 0);
	return 0;
}
