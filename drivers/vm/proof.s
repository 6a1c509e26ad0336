# The guest that proves KVM: one boot sector.  It does what every kernel does first and what a /dev/kvm that only looks
# usable fails at: long mode with paging, a trap through its own table, interrupts from a timer.  Each step says a letter
# on the first serial port (L, T, R, C); then it resets the machine, which ends QEMU under -no-reboot.
# Assembled: as --64 proof.s -o proof.o && objcopy -O binary -j .text proof.o proof.bin
        .code16
start:  cli
        xor %ax,%ax
        mov %ax,%ds
        mov %ax,%es
        mov %ax,%ss
        mov $0x7c00,%sp
        mov $0x1000,%di                 # page tables at 0x1000, 0x2000, 0x3000 and the interrupt table at 0x4000
        mov $0x2800,%cx
        cld
        rep stosw
        movw $0x2003,0x1000
        movw $0x3003,0x2000
        movw $0x0083,0x3000             # the first 2 MiB as they are, one large page
        mov $0x1000,%eax
        mov %eax,%cr3
        mov %cr4,%eax
        or $0x20,%eax
        mov %eax,%cr4
        mov $0xc0000080,%ecx
        rdmsr
        or $0x100,%eax
        wrmsr
        lgdtl 0x7c00+gdtr-start
        mov %cr0,%eax
        or $0x80000001,%eax
        mov %eax,%cr0
        ljmp $8,$0x7c00+long-start
        .code64
long:   mov $16,%eax
        mov %eax,%ss
        mov %eax,%ds
        mov %eax,%es
        mov $0x7c00,%esp
        mov $'L',%al
        call say
        mov $0x4030,%edi                # vector 3
        mov $0x7c00+trap-start,%eax
        call gate
        mov $0x4200,%edi                # vector 0x20
        mov $0x7c00+tick-start,%eax
        call gate
        lidt 0x7c00+idtr-start
        int3
        mov $'R',%al
        call say
        mov $0x11,%al                   # interrupt controller: line 0 at vector 0x20, all others off
        out %al,$0x20
        mov $0x20,%al
        out %al,$0x21
        mov $4,%al
        out %al,$0x21
        mov $1,%al
        out %al,$0x21
        mov $0xfe,%al
        out %al,$0x21
        mov $0x34,%al                   # timer 0: 291 ticks a second
        out %al,$0x43
        xor %al,%al
        out %al,$0x40
        mov $0x10,%al
        out %al,$0x40
        mov $50,%ebx
        sti
wait:   hlt
        test %ebx,%ebx
        jnz wait
        cli
        mov $'C',%al
        call say
        mov $'\n',%al
        call say
        mov $0xfe,%al
        out %al,$0x64
stop:   hlt
        jmp stop
say:    mov $0x3f8,%edx
        out %al,%dx
        ret
gate:   mov %ax,(%rdi)
        movw $8,2(%rdi)
        movw $0x8e00,4(%rdi)
        ret
trap:   mov $'T',%al
        call say
        iretq
tick:   dec %ebx
        mov $0x20,%al
        out %al,$0x20
        iretq
        .align 8
gdt:    .quad 0
        .quad 0x00209a0000000000
        .quad 0x0000920000000000
gdtr:   .word gdtr-gdt-1
        .long 0x7c00+gdt-start
idtr:   .word 0xfff
        .quad 0x4000
        .org 510
        .word 0xaa55
