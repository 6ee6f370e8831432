/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest that finds out whether KVM can really run one: firmware of its own, from the reset vector through
 * every mode an operating system goes through, using on the way what software implementations of KVM are known to
 * lack. It says a letter on the first serial port after each step, 'K' at the end, '!' when a result is
 * wrong:
 *
 *     r  real mode, with a software interrupt          f  page faults: not present, then read-only
 *     p  protected mode, 32 bits                       u  user mode and back by syscall
 *     l  long mode, 4 KiB pages                        i  a timer interrupt out of hlt
 *     c  a locked 16-byte compare-and-exchange         K  SPEED_ROUNDS of a memory loop
 *     s  SSE2: integers and floating point
 *
 * It stands in the last 4 KiB of the firmware; everything is addressed below 1 MiB, where those are seen again.
 * Position and relocation do not matter: every address is a distance from the start.
 */
	.set BASE, 0xff000
#define AT(label) (label - kvm_guest + BASE)
#define AT16(label) (label - kvm_guest + 0xf000)	/* in segment 0xf000 */

	.set CODE32, 0x08
	.set CODE64, 0x10	/* kernel; its stack segment follows, as syscall wants it */
	.set DATA, 0x18
	.set USER_BASE, 0x20	/* user data at +8, user code at +16, as sysret wants it */

	.set STACK, 0x7000
	.set SCRATCH, 0x8000	/* 16 bytes each for what the steps work on */
	.set FAULTS, 0x8020
	.set TICKS, 0x8030
	.set PML4, 0x10000
	.set PDPT, 0x11000
	.set PD, 0x12000
	.set PT, 0x13000
	.set IDT, 0x14000
	.set HOLE, 0x1ff000	/* the last page of the table is not there at first */
	.set HOLE_ENTRY, PT + 511 * 8

	.set LAPIC, 0xfee00000
	.set SERIAL, 0x3f8
	.set SPEED_ROUNDS, 10000000

	.macro say letter
	movw	$SERIAL, %dx
	movb	$\letter, %al
	outb	%al, %dx
	.endm

	.section .rodata
	.globl kvm_guest, kvm_guest_end
	.hidden kvm_guest, kvm_guest_end
	.balign 16
kvm_guest:
	.code16
real:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	xorw	%ax, %ax
	movw	%ax, %es
	movw	%ax, %ss
	movw	$STACK, %sp
	movw	$AT16(real_interrupt), %es:(0x40 * 4)
	movw	%cs, %es:(0x40 * 4 + 2)
	xorw	%bx, %bx
	int	$0x40
	cmpw	$0x1234, %bx
	jne	real_wrong
	say	'r'
	lgdtl	AT16(gdt_pointer)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$CODE32, $AT(protected)
real_interrupt:
	movw	$0x1234, %bx
	iretw
real_wrong:
	say	'!'
	hlt
	jmp	real_wrong

	.code32
protected:
	movw	$DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$STACK, %esp
	movl	$0x1ff, LAPIC + 0xf0	/* on; the old interrupt controller's line goes through it */
	movl	$0x700, LAPIC + 0x350
	say	'p'

	/* The first 2 MiB map to themselves, for user mode too, but for the last page. */
	xorl	%eax, %eax
	movl	$SCRATCH, %edi
	movl	$((IDT + 0x1000 - SCRATCH) / 4), %ecx
	rep stosl
	movl	$(PDPT + 7), PML4
	movl	$(PD + 7), PDPT
	movl	$(PT + 7), PD
	movl	$7, %eax
	movl	$PT, %edi
	movl	$511, %ecx
1:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	1b

	movl	$0x620, %eax		/* CR4: PAE, OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER: LME, SCE */
	rdmsr
	orl	$0x101, %eax
	wrmsr
	movl	$0x80010033, %eax	/* CR0: PG, WP, NE, ET, MP, PE */
	movl	%eax, %cr0
	ljmpl	$CODE64, $AT(long)

	.code64
long:
	movw	$DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$STACK, %esp
	movl	$AT(page_fault), %eax
	movl	$14, %edi
	call	set_gate
	movl	$AT(timer), %eax
	movl	$0x20, %edi
	call	set_gate
	lidt	AT(idt_pointer)
	say	'l'

	xorl	%eax, %eax
	xorl	%edx, %edx
	movl	$5, %ebx
	movl	$7, %ecx
	lock cmpxchg16b SCRATCH
	jnz	wrong
	cmpq	$5, SCRATCH
	jne	wrong
	cmpq	$7, SCRATCH + 8
	jne	wrong
	say	'c'

	movdqa	SCRATCH, %xmm1
	paddq	%xmm1, %xmm1
	movdqa	%xmm1, SCRATCH
	cmpq	$10, SCRATCH
	jne	wrong
	cmpq	$14, SCRATCH + 8
	jne	wrong
	movl	$3, %eax
	cvtsi2sd %eax, %xmm0
	mulsd	%xmm0, %xmm0
	cvttsd2si %xmm0, %eax
	cmpl	$9, %eax
	jne	wrong
	say	's'

	movq	$0x55, HOLE
	cmpq	$0x55, HOLE
	jne	wrong
	cmpl	$1, FAULTS
	jne	wrong
	movl	$(HOLE + 5), HOLE_ENTRY		/* take the right to write */
	invlpg	HOLE
	movq	$0x66, HOLE
	cmpq	$0x66, HOLE
	jne	wrong
	cmpl	$2, FAULTS
	jne	wrong
	say	'f'

	movl	$0xc0000081, %ecx	/* STAR: segments of user and kernel */
	xorl	%eax, %eax
	movl	$((USER_BASE << 16) + CODE64), %edx
	wrmsr
	movl	$0xc0000082, %ecx	/* LSTAR: where syscall goes */
	movl	$AT(from_user), %eax
	xorl	%edx, %edx
	wrmsr
	movl	$0xc0000084, %ecx	/* SFMASK: interrupts off */
	movl	$0x200, %eax
	wrmsr
	movl	$AT(user), %ecx
	movl	$2, %r11d
	sysretq
user:
	movw	%cs, %bx
	movl	$0x5678, %eax
	syscall
from_user:
	cmpl	$0x5678, %eax
	jne	wrong
	andw	$3, %bx
	cmpw	$3, %bx
	jne	wrong
	say	'u'

	movb	$0x11, %al	/* interrupt controller: IRQ 0 is vector 0x20, all others masked */
	outb	%al, $0x20
	movb	$0x20, %al
	outb	%al, $0x21
	movb	$4, %al
	outb	%al, $0x21
	movb	$1, %al
	outb	%al, $0x21
	movb	$0xfe, %al
	outb	%al, $0x21
	movb	$0x30, %al	/* timer: once, after about a millisecond */
	outb	%al, $0x43
	movb	$0xff, %al
	outb	%al, $0x40
	movb	$0x04, %al
	outb	%al, $0x40
1:	cli
	cmpl	$0, TICKS
	jne	2f
	sti
	hlt
	jmp	1b
2:	say	'i'

	movl	$SPEED_ROUNDS, %ecx
1:	incq	SCRATCH
	decl	%ecx
	jnz	1b
	cmpq	$(10 + SPEED_ROUNDS), SCRATCH
	jne	wrong
	say	'K'
1:	hlt
	jmp	1b

wrong:
	say	'!'
1:	hlt
	jmp	1b

/* %eax handler, %edi vector */
set_gate:
	shll	$4, %edi
	movw	%ax, IDT(%rdi)
	movw	$CODE64, IDT + 2(%rdi)
	movw	$0x8e00, IDT + 4(%rdi)
	shrl	$16, %eax
	movw	%ax, IDT + 6(%rdi)
	ret

page_fault:
	pushq	%rax
	movq	%cr2, %rax
	cmpq	$HOLE, %rax
	jne	wrong
	incl	FAULTS
	movl	$(HOLE + 7), HOLE_ENTRY
	invlpg	HOLE
	popq	%rax
	addq	$8, %rsp
	iretq

timer:
	pushq	%rax
	incl	TICKS
	movb	$0x20, %al
	outb	%al, $0x20
	popq	%rax
	iretq

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* CODE32 */
	.quad 0x00af9b000000ffff	/* CODE64 */
	.quad 0x00cf93000000ffff	/* DATA */
	.quad 0				/* USER_BASE: 32-bit user code, not used */
	.quad 0x00cff3000000ffff	/* user data */
	.quad 0x00affb000000ffff	/* user code, 64 bits */
gdt_pointer:
	.word . - gdt - 1
	.long AT(gdt)
idt_pointer:
	.word 0xfff
	.quad IDT

	.org kvm_guest + 0xff0
	.code16
reset:
	ljmpw	$0xf000, $AT16(real)
	.org kvm_guest + 0x1000
kvm_guest_end:

	.section .note.GNU-stack, "", @progbits
