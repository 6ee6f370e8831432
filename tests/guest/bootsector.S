/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest of 512 bytes for hosts whose KVM cannot run Linux: with interrupts off it counts on the first
 * serial port, eight hexadecimal digits a line. The count is kept in memory, so a save and restore that
 * loses memory shows as well as one that loses registers.
 */
	.code16
	.globl _start
	.set PORT, 0x3f8
	.set COUNT, 0x7e00	/* behind the sector */
	.set DELAY, 0x200000	/* ticks of the processor's clock between two lines: about a millisecond */
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7c00, %sp
	movl	$0, COUNT
next:
	incl	COUNT
	movl	COUNT, %ebx
	movw	$8, %cx
digit:
	roll	$4, %ebx
	movb	%bl, %al
	andb	$0x0f, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	send
	addb	$('a' - '9' - 1), %al
send:
	call	put
	loop	digit
	movb	$'\n', %al
	call	put
	rdtsc
	movl	%eax, %edi
wait:
	rdtsc
	subl	%edi, %eax
	cmpl	$DELAY, %eax
	jb	wait
	jmp	next

/* Wait until the transmitter takes a byte, then give it %al. */
put:
	movb	%al, %ah
	movw	$(PORT + 5), %dx
busy:
	inb	%dx, %al
	testb	$0x20, %al
	jz	busy
	movw	$PORT, %dx
	movb	%ah, %al
	outb	%al, %dx
	ret

	.org 510
	.word 0xaa55
