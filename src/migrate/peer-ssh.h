/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of ssh that connects its standard input and output to another host's daemon. */
#pragma once

#include "peer-uri.h"
#include "strv.h"

/* `ret` is empty. It never asks for a password: nobody is there to type it. */
void peer_ssh_command(const struct peer_uri *uri, struct strv *ret);
