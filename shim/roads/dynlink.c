/* dynlink.c: the loader's functions that the shim exports. The real ones look at their return address, so
 * these are no calls: they ask roads.h where to jump, with registers and stack as they came. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "../facade.h"
#include "loader.h"
#include "roads.h"

#if defined __x86_64__ && !defined __ILP32__
#define STUB(name)                                                                         \
    __asm__(".text\n.globl " #name "\n.type " #name ",@function\n.p2align 4\n" #name ":\n" \
            ".cfi_startproc\nendbr64\n"                                                    \
            "pushq %rdx\n.cfi_adjust_cfa_offset 8\n"                                       \
            "pushq %rsi\n.cfi_adjust_cfa_offset 8\n"                                       \
            "pushq %rdi\n.cfi_adjust_cfa_offset 8\n"                                       \
            "movq %rsp,%rdi\nmovq 24(%rsp),%rsi\n"                                         \
            "call roads_" #name "\nmovq %rax,%r11\n"                                       \
            "popq %rdi\n.cfi_adjust_cfa_offset -8\n"                                       \
            "popq %rsi\n.cfi_adjust_cfa_offset -8\n"                                       \
            "popq %rdx\n.cfi_adjust_cfa_offset -8\n"                                       \
            "jmp *%r11\n.cfi_endproc\n.size " #name ",.-" #name "\n")
#elif defined __aarch64__
#define STUB(name)                                                                            \
    __asm__(".text\n.globl " #name "\n.type " #name ",%function\n.p2align 4\n" #name ":\n"    \
            ".cfi_startproc\nhint #34\n"                                                      \
            "stp x29,x30,[sp,#-48]!\n.cfi_def_cfa_offset 48\n"                                \
            ".cfi_offset 29,-48\n.cfi_offset 30,-40\nmov x29,sp\n"                            \
            "stp x0,x1,[sp,#16]\nstr x2,[sp,#32]\n"                                           \
            "add x0,sp,#16\nmov x1,x30\nbl roads_" #name "\nmov x16,x0\n"                     \
            "ldp x0,x1,[sp,#16]\nldr x2,[sp,#32]\n"                                           \
            "ldp x29,x30,[sp],#48\n.cfi_def_cfa_offset 0\n.cfi_restore 29\n.cfi_restore 30\n" \
            "br x16\n.cfi_endproc\n.size " #name ",.-" #name "\n")
#endif

/* On other machines these roads stay as they are; what goes by them shows in no ledger. */
#ifdef STUB
STUB(dlsym);
STUB(dlvsym);
STUB(dlopen);

EXPORT char *dlerror(void) {
    char *text = loader()->dlerror(), *mark = text ? strchr(text, ROADS_UNFINDABLE) : NULL;
    if (mark) /* the text is the loader's, made for this call */
        memmove(mark, mark + 1, strlen(mark));
    return text;
}
#endif
