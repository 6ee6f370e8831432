/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest of 512 bytes for hosts whose KVM cannot run Linux: with interrupts off it counts on the first
 * serial port, eight hexadecimal digits a line. The count is kept in memory, so a save and restore that
 * loses memory shows as well as one that loses registers.
 *
 * With WATCHDOG it arms a watchdog at its 64th line, and leaves it alone from then on: the i6300esb when there is one, else
 * the ib700.
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
#ifdef WATCHDOG
	cmpl	$ARMED_AT, COUNT
	jne	sleep
	call	arm
sleep:
#endif
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

#ifdef WATCHDOG
	.set ARMED_AT, 64
	.set TICKS, 20		/* of each of the i6300esb's two stages; one is about a millisecond */
	.set IB700, 0x443	/* a write arms it */
	.set IB700_NOW, 0x0f	/* for no seconds */
	/* The BIOS's PCI functions, %ax of interrupt 0x1a; devices are in %bx. */
	.set FIND_DEVICE, 0xb102
	.set READ_DWORD, 0xb10a
	.set WRITE_BYTE, 0xb10b
	/* The i6300esb's configuration space ... */
	.set BASE_ADDRESS, 0x10
	.set LOCK, 0x68
	.set ENABLE, 2
	/* ... and memory. A timer can be written once the reload register was given two numbers. */
	.set TIMER1, 0
	.set TIMER2, 4
	.set RELOAD, 0xc
arm:
	movw	$FIND_DEVICE, %ax
	movw	$0x25ab, %cx
	movw	$0x8086, %dx
	xorw	%si, %si
	int	$0x1a
	jc	arm_ib700
	movw	$READ_DWORD, %ax
	movw	$BASE_ADDRESS, %di
	int	$0x1a
	andl	$0xfffffff0, %ecx
	/* Far above what real mode reaches: through protected mode and back the segment keeps a limit of 4 GiB. */
	lgdt	table_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$(flat - table), %dx
	movw	%dx, %ds
	andb	$0xfe, %al
	movl	%eax, %cr0
	xorw	%dx, %dx
	movw	%dx, %ds
	movl	$0x80, RELOAD(%ecx)
	movl	$0x86, RELOAD(%ecx)
	movl	$TICKS, TIMER1(%ecx)
	movl	$0x80, RELOAD(%ecx)
	movl	$0x86, RELOAD(%ecx)
	movl	$TICKS, TIMER2(%ecx)
	movw	$WRITE_BYTE, %ax
	movw	$LOCK, %di
	movb	$ENABLE, %cl
	int	$0x1a
	ret
arm_ib700:
	movw	$IB700, %dx
	movb	$IB700_NOW, %al
	outb	%al, %dx
	ret

	.balign 8
table:
	.quad 0
flat:	/* data, from 0 to 4 GiB */
	.quad 0x00cf92000000ffff
table_pointer:
	.word table_pointer - table - 1
	.long table
#endif

	.org 510
	.word 0xaa55
