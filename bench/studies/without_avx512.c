/* Answers in the place of the processor, preloaded into a program in whose libraries without_avx512.py has replaced the
 * instruction `cpuid`. What it leaves out: AVX-512, and later instructions that a processor such as Zen 3 lacks too.
 *
 *     cpuid         0F A2   what a library asks the processor with
 *     into, twice   CE CE   what stands there instead: it is invalid in 64-bit mode, so the system sends SIGILL
 *
 * `ud2` is as invalid, but compilers write it too, where a program must end. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

enum { REPLACEMENT = 0xCE, CPUID_LENGTH = 2 };

#define BIT(n) (1u << (n))

/* The bits that are left out of one register of the answer to one question: EAX and ECX are the question. */
static const struct {
    unsigned eax, ecx, bits;
    int from;
} LEFT_OUT[] = {
    /* AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL */
    {7, 0, BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31), REG_RBX},
    /* AVX-512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; GFNI */
    {7, 0, BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14) | BIT(8), REG_RCX},
    /* AVX-512 4VNNIW, 4FMAPS, VP2INTERSECT, FP16; AMX */
    {7, 0, BIT(2) | BIT(3) | BIT(8) | BIT(23) | BIT(22) | BIT(24) | BIT(25), REG_RDX},
    /* AVX-512 BF16; AVX-VNNI, AVX-IFMA; AMX */
    {7, 1, BIT(5) | BIT(4) | BIT(23) | BIT(21), REG_RAX},
    /* AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16; AMX; AVX10 */
    {7, 1, BIT(4) | BIT(5) | BIT(10) | BIT(8) | BIT(19), REG_RDX},
    /* the registers of AVX-512, among those that the system saves */
    {13, 0, BIT(5) | BIT(6) | BIT(7), REG_RAX},
};

static void answer(int number, siginfo_t *information, void *context)
{
    (void)information;
    greg_t *const registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *const at = (const unsigned char *)registers[REG_RIP];
    if (at[0] != REPLACEMENT || at[1] != REPLACEMENT) {
        signal(number, SIG_DFL); /* the instruction is executed again, and ends the program */
        return;
    }
    const unsigned asked_eax = (unsigned)registers[REG_RAX], asked_ecx = (unsigned)registers[REG_RCX];
    unsigned eax, ebx, ecx, edx;
    __cpuid_count(asked_eax, asked_ecx, eax, ebx, ecx, edx);
    registers[REG_RAX] = eax;
    registers[REG_RBX] = ebx;
    registers[REG_RCX] = ecx;
    registers[REG_RDX] = edx;
    for (size_t i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++)
        if (LEFT_OUT[i].eax == asked_eax && LEFT_OUT[i].ecx == asked_ecx)
            registers[LEFT_OUT[i].from] &= ~(greg_t)LEFT_OUT[i].bits;
    registers[REG_RIP] += CPUID_LENGTH;
}

__attribute__((constructor)) static void install(void)
{
    const struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
}
