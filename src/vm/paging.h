/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of a guest that was restored lazily, while it comes in: the guest runs, godwit-io (pager.h) serves its pages out of
 * the image, and QEMU takes them as the destination of a post-copy migration. From the step "load" until the last page is
 * in, or QEMU is gone, the VM has a struct paging.
 *
 *                  QEMU has its devices            all pages are in
 *      LOADING -------------------------> FILLING ------------------> (freed; a managed save is removed)
 *                                          |   ^
 *        helper or connection lost         |   |  QEMU is postcopy-paused, a helper has the image open:
 *                                          v   |  migrate-recover, connect
 *                                         BROKEN
 *
 * Beside that it may be in trouble: a page that cannot be read, or is damaged, or a helper that cannot be had. Then the guest is paused
 * (I/O error) and an event says so; `resume` tries again.
 *
 * paging.c            its life                       paging-recover.c    another helper, another daemon
 * paging-trouble.c    pages that cannot be had       load-lazy.c         from image to a QEMU that may run
 */
#pragma once

#include "pager.h"
#include "vm-internal.h"

#define PAGES_SOCKET "pages.sock" /* QEMU's: where pages come in */
#define PAGER_SOCKET "pager.sock" /* the helper's: where a later daemon finds it */
#define HOT_LIST_SUFFIX                                                                                      \
	".save.hot" /* beside managed saves: what the guest needed first, for its next image */

/* FILLING: what the guest asks for is answered; from paging_go on all the rest comes too. */
enum paging_state { PAGING_LOADING, PAGING_FILLING, PAGING_BROKEN, PAGING_STATE_MAX_ };

/* Someone who waits for the last page; `err` NULL: it is in. Otherwise it will not be soon. */
struct paging_waiter {
	void (*done)(void *userdata, const struct error *err);
	void *userdata;
};

struct paging {
	struct vm *vm; /* borrowed: the VM owns this */
	enum paging_state state;
	char *image_path;
	int image_fd;
	bool spent; /* the image is a managed save whose guest has run: it goes with the last page */
	bool hurry;
	char *incoming_uri; /* where QEMU listens, in its words */
	bool preempt;	    /* QEMU takes urgent pages on a second socket */

	struct pager *pager;		  /* NULL: none at work */
	bool servable;			  /* the helper has the image open and is not connected to QEMU */
	bool qemu_waits;		  /* QEMU is postcopy-paused */
	bool qemu_has_all;		  /* QEMU's migration is "completed" */
	bool recovering;		  /* migrate-recover is on its way */
	unsigned failures;		  /* helpers in a row that ended without bringing a page */
	uint64_t came_in, came_in_before; /* bytes that were in when the last two helpers ended */
	uint64_t identity;		  /* of the image, whatever file it is in; 0 unknown */
	uint64_t memory;		  /* bytes in all, 0 not known yet */
	uint64_t began;			  /* clock_now() */

	struct error trouble;	/* code ERROR_NONE: none */
	vm_done_fn resume_done; /* a resume that waits for the pages in question */
	void *resume_userdata;
	VEC(struct paging_waiter) waiters;
};

/* What the helper tells goes to the paging (userdata) from FILLING on; before, to whom load-lazy.c says. */
extern const struct pager_ops paging_pager_ops;

/* ---- paging.c ---- */
/* The one way from state to state. */
void paging_move(struct paging *p, enum paging_state state);
/* Takes image_fd; -1: it is opened when a helper needs it. */
struct paging *paging_new(struct vm *vm, const char *image_path, int image_fd);
/* Its helper ends when the guest never ran, and when QEMU is gone; whoever waits hears `why`. Accepts NULL. */
void paging_free(struct paging *p, const struct error *why);
/* Start a helper for the image. */
int paging_start_helper(struct paging *p, struct error *err);
/* Connect to where QEMU listens and hand the sockets to the helper. */
int paging_connect(struct paging *p, bool resume, struct error *err);
/* The guest runs, or could: from now on the helper fills memory, and outlives this daemon. */
void paging_go(struct paging *p);
/* QEMU or the helper says that the last page is in. Frees p. */
void paging_finish(struct paging *p);
/* QEMU is gone: the image of a guest that has run is of no use any more. */
void vm_drop_paging(struct vm *vm);
/* What its guest needed first when it was last restored goes with its next image. */
void vm_give_hot_list(const struct vm *vm, int image_fd);
void vm_drop_hot_list(const struct vm *vm);
/* This daemon ends: what is at work goes on without it. */
void vm_leave_paging(struct vm *vm);
/* A managed save put aside whose guest ran, and which nothing uses any more. */
void paging_remove_leftover(struct vm *vm);
/* Call `done` once, from the loop, when the last page is in. */
void paging_wait(struct paging *p, void (*done)(void *userdata, const struct error *err), void *userdata);
void paging_tell_waiters(struct paging *p, const struct error *err);
void paging_forget_waiter(struct paging *p, void *userdata);
void paging_fill_job_info(const struct paging *p, struct vm_job_info *info);
/* For status.json; NULL for none. */
json *paging_encode(const struct paging *p);

/*
 * QEMU reaches its run directory through a descriptor, as we do: the path may be too long for a socket. From its reply to the first comes
 * incoming_uri.
 */
void paging_give_directory(struct paging *p, qmp_reply_fn reply, void *userdata);
void paging_set_directory(struct paging *p, json *ret);
/* The image has another name now. */
void paging_rename_image(struct paging *p, const char *path);
/* A descriptor connected to the helper an earlier daemon started, or -1. */
int paging_find_helper(struct paging *p);

/* ---- load-lazy.c: what the helper says while QEMU is being loaded ---- */
/* The image can be served; or, with `err`, it cannot, or the helper is gone. */
void lazy_load_servable(struct paging *p, const struct error *err);
void lazy_load_failed(struct paging *p, const struct error *err);

/* ---- paging-recover.c ---- */
/* QEMU's MIGRATION event, or what it answered to query-migrate. */
void paging_qemu_status(struct paging *p, const char *status);
/* The helper is gone, or has lost QEMU. */
void paging_broken(struct paging *p, const struct error *why);
void paging_try_recover(struct paging *p);
/* Somebody wants it tried again. Its end is told by paging_mended or paging_in_trouble. */
int paging_recover_again(struct paging *p, struct error *err);
/* From status.json, in a new daemon: the object only; NULL when `o` is none. */
struct paging *paging_decode(struct vm *vm, json *o);
/* Once QEMU's monitor answers: find the helper, or start another. */
void paging_adopt(struct paging *p);

uint64_t paging_identify(int fd);
/* In a new daemon, when a helper needs it: the same image as before, or none. */
int paging_open_image(struct paging *p, struct error *err);
/* Another file with the same image stands where the first one was: use it. False: there is none. */
bool paging_take_replacement(struct paging *p);

/* ---- paging-trouble.c ---- */
void paging_in_trouble(struct paging *p, const struct error *why);
/* What was in the way is gone. */
void paging_mended(struct paging *p);
/* vm_resume for a VM in trouble: try again, and run when the pages are there. */
int paging_resume(struct paging *p, vm_done_fn done, void *userdata, struct error *err);
