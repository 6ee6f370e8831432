/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests that run the real godwit-io: which one. */
#pragma once

/* GODWIT_IO of the environment, or the one of this test's build. Static. */
const char *fixture_io_program(void);
