/* program.c: what a command is, before it is started. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The kernel follows as many interpreters of interpreters before it gives up. */
enum { SCRIPTS_MAX = 5 };

/* What execvp would take; it skips what is no regular file or not executable, and so do we. */
static bool is_runnable(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* As execvp looks for it. */
static bool resolve(const char *command, char *path, size_t size) {
    if (strchr(command, '/')) {
        snprintf(path, size, "%s", command);
        return is_runnable(path);
    }
    const char *places = getenv("PATH");
    if (!places)
        places = "/bin:/usr/bin";
    for (;;) {
        size_t length = strcspn(places, ":");
        snprintf(path, size, "%.*s%s%s", (int)length, places, length ? "/" : "", command);
        if (is_runnable(path))
            return true;
        if (places[length] == '\0')
            return false;
        places += length + 1;
    }
}

/* `#!/usr/bin/env [-S] [NAME=VALUE…] interpreter` runs the interpreter, which is what matters. */
static const char *behind_env(char *words) {
    for (char *word = strtok(words, " \t"); word; word = strtok(NULL, " \t"))
        if (word[0] != '-' && !strchr(word, '='))
            return word;
    return NULL;
}

/* Puts the interpreter of a script into `path`; false if the file is no script. */
static bool follow_script(char *path, size_t size) {
    char line[512];
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    if (length < 3 || line[0] != '#' || line[1] != '!')
        return false;
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *interpreter = line + 2 + strspn(line + 2, " \t");
    char *rest = interpreter + strcspn(interpreter, " \t");
    if (*rest)
        *rest++ = '\0';
    const char *base = strrchr(interpreter, '/');
    const char *behind = base && strcmp(base, "/env") == 0 ? behind_env(rest) : NULL;
    return resolve(behind ? behind : interpreter, path, size);
}

/* With any of these the loader ignores LD_PRELOAD; see ld.so(8), secure-execution mode. */
static const char *privilege(const char *path) {
    struct stat status;
    struct statvfs system;
    if (stat(path, &status) != 0 || statvfs(path, &system) != 0)
        return NULL;
    /* There the kernel ignores the bits, and the loader hears of nothing. */
    if ((system.f_flag & ST_NOSUID) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return NULL;
    if ((status.st_mode & S_ISUID) && status.st_uid != getuid())
        return "is setuid";
    if ((status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != getgid())
        return "is setgid";
    /* A process of root gains nothing by them, so exec is not a secure one. */
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "has file capabilities";
    return NULL;
}

static bool has_interpreter(Elf *elf) {
    size_t count = 0;
    elf_getphdrnum(elf, &count);
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* Does one of the symbol tables define the function that every user of libpq calls? In a stripped program
 * nothing tells; then the run ends with "libpq was never used". */
static bool defines_libpq(Elf *elf) {
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_entsize == 0 ||
            (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM))
            continue;
        Elf_Data *data = elf_getdata(section, NULL);
        for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; i++) {
            GElf_Sym symbol;
            if (!gelf_getsym(data, (int)i, &symbol))
                break;
            if (symbol.st_shndx == SHN_UNDEF || GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
                continue;
            const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
            if (name && (strcmp(name, "PQconnectdb") == 0 || strcmp(name, "PQconnectStartParams") == 0))
                return true;
        }
    }
    return false;
}

/* The launcher and the library are built together, so our own header says what the library can enter. */
static bool is_of_our_kind(const GElf_Ehdr *header, const unsigned char *identity) {
    unsigned char own[EI_NIDENT + 4] = {0};
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return true;
    ssize_t length = read(file, own, sizeof own);
    close(file);
    uint16_t machine;
    memcpy(&machine, own + EI_NIDENT + 2, sizeof machine);
    return length != (ssize_t)sizeof own ||
           (own[EI_CLASS] == identity[EI_CLASS] && machine == header->e_machine);
}

/* ld.so, run as a command, has no interpreter and honours LD_PRELOAD all the same. */
static bool is_loader(const char *path) {
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    return strncmp(base, "ld-", 3) == 0 || strncmp(base, "ld.", 3) == 0;
}

static const char *look_inside(Elf *elf, const char *path) {
    GElf_Ehdr header;
    const char *identity = elf_getident(elf, NULL);
    if (elf_kind(elf) != ELF_K_ELF || !identity || !gelf_getehdr(elf, &header))
        return NULL;
    if (!is_of_our_kind(&header, (const unsigned char *)identity))
        return "is built for another architecture than libpqone.so, which the loader cannot put into it";
    if (!is_loader(path) && !has_interpreter(elf))
        return "is statically linked, so nothing can be preloaded into it";
    if (defines_libpq(elf))
        return "has libpq linked in statically, so its calls never pass through libpqone.so";
    return NULL;
}

bool program_contains_libpq(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ, NULL);
    bool contains = elf && elf_kind(elf) == ELF_K_ELF && defines_libpq(elf);
    elf_end(elf);
    close(file);
    return contains;
}

bool program_is_static_without_libpq(const char *path) {
    int file = is_loader(path) ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ, NULL);
    bool harmless = elf && elf_kind(elf) == ELF_K_ELF && !has_interpreter(elf) && !defines_libpq(elf);
    elf_end(elf);
    close(file);
    return harmless;
}

bool program_is_out_of_reach(const char *command, char *why, size_t size) {
    char path[PATH_MAX];
    if (!resolve(command, path, sizeof path))
        return false;
    for (int script = 0; script < SCRIPTS_MAX && follow_script(path, sizeof path); script++)
        ;
    const char *reason = privilege(path);
    if (reason) {
        snprintf(why, size, "%s %s, so the loader ignores LD_PRELOAD: nothing is shared or watched in it",
                 path, reason);
        return true;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ, NULL);
    reason = elf ? look_inside(elf, path) : NULL;
    if (reason)
        snprintf(why, size, "%s %s: nothing is shared or watched in it", path, reason);
    elf_end(elf);
    close(file);
    return reason != NULL;
}
