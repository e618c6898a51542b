/* noise.c: which frames tell a reader nothing about his program. */
#include "noise.h"

#include <stdio.h>
#include <string.h>

static bool starts(const char *text, const char *const *beginnings) {
    for (; *beginnings; beginnings++)
        if (strncmp(text, *beginnings, strlen(*beginnings)) == 0)
            return true;
    return false;
}

static bool contains(const char *text, const char *const *parts) {
    for (; *parts; parts++)
        if (strstr(text, *parts))
            return true;
    return false;
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* The file names of an interpreter, a version may follow; and the beginnings of what its own functions are
 * called, for a program that carries it inside. */
struct interpreter {
    const char *modules[10], *functions[24];
};

static const struct interpreter interpreters[] = {
    [LEDGER_NATIVE] = {{NULL}, {NULL}},
    [LEDGER_PYTHON] = {{"python", "libpython", "_ctypes", "_cffi_backend"},
                       {"_Py", "Py", "cfunction_", "method_vectorcall", "slot_tp_", "type_call", "object_",
                        "builtin_", "run_mod", "pymain_", "function_code_fastcall", "_ctypes_callproc"}},
    [LEDGER_RUBY] = {{"ruby", "libruby", "libruby-", "ffi_c"},
                     {"rb_", "ruby_", "vm_", "rbimpl_", "invoke_block", "call_cfunc", "eval_"}},
    [LEDGER_PHP] = {{"php", "libphp", "php-fpm", "php-cgi", "mod_php", "apache", "httpd"},
                    {"zend_", "ZEND_", "execute_ex", "php_execute_", "php_cli_", "do_cli"}},
    [LEDGER_PERL] = {{"perl", "libperl", "DBI"}, {"Perl_", "perl_", "S_", "XS_DBI", "XS_DynaLoader"}},
    [LEDGER_LUA] = {{"lua", "liblua", "lua-", "luajit", "luajit-", "libluajit-"},
                    {"lua_", "luaV_", "luaD_", "luaL_", "lj_", "docall", "pmain"}},
    [LEDGER_JAVASCRIPT] = {{"node", "nodejs", "libnode", "libuv", "libv8"},
                           {"v8::", "node::", "uv_", "Builtins_", "napi_", "Nan::"}},
};

/* A driver that was built into the interpreter's own file. */
static const char *const drivers[] = {"pgsql", "pg_connect", "pg_pconnect", "psyco", NULL};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "python3.11" is python's, "python-shop" is not. */
static bool is_module_of(const struct interpreter *interpreter, const char *module) {
    for (const char *const *name = interpreter->modules; *name; name++) {
        size_t length = strlen(*name);
        if (strncmp(module, *name, length) == 0 && strchr("0123456789.", module[length]))
            return true;
    }
    return false;
}

bool noise_is_interpreter(const char *path) {
    for (size_t i = 0; i < sizeof interpreters / sizeof *interpreters; i++)
        if (is_module_of(&interpreters[i], base_name(path)))
            return true;
    return false;
}

bool noise_is_runtime_file(const char *path) {
    static const char *const names[] = {"libc.",     "libc-",       "ld-linux", "ld-2",
                                        "ld-musl",   "libpthread.", "libffi.",  "libstdc++.",
                                        "libgcc_s.", "libasan.",    "libtsan.", NULL};
    return starts(base_name(path), names);
}

/* What stands below main or a thread's function, or between exit() and a destructor. */
static bool is_runtime(const struct frame *frame) {
    static const char *const functions[] = {"_start",
                                            "__libc_start_main",
                                            "__libc_start_call_main",
                                            "__libc_start_main_impl",
                                            "start_thread",
                                            "clone",
                                            "clone3",
                                            "__clone",
                                            "__clone3",
                                            "__run_exit_handlers",
                                            "__cxa_finalize",
                                            "__do_global_dtors_aux",
                                            "_dl_fini",
                                            "execute_native_thread_routine",
                                            "ffi_call",
                                            "ffi_call_int",
                                            "ffi_call_unix64",
                                            "ffi_call_SYSV",
                                            NULL};
    /* What a library of templates puts between a program's lines, and Rust below its main. */
    static const char *const inner[] = {"std::", "__gnu_cxx::", "core::ops::", NULL};
    return noise_is_runtime_file(frame->module) || is_one_of(frame->function, functions) ||
           starts(frame->function, inner);
}

/* What every script's connect passes: it stands in the driver's package, below no line of the program. */
static bool is_wrapper(const struct frame *frame) {
    static const char *const files[] = {"/psycopg2/__init__.py",
                                        "/psycopg2/pool.py",
                                        "/psycopg/connection",
                                        "/psycopg/_connection",
                                        "/psycopg/generators.py",
                                        "/psycopg/waiting.py",
                                        "/psycopg/pq/",
                                        "/psycopg_pool/",
                                        "/DBI.pm",
                                        "/DBD/Pg.pm",
                                        "/pg/connection.rb",
                                        "/pg.rb",
                                        "/node_modules/pg-native/",
                                        "/node_modules/libpq/",
                                        NULL};
    static const char *const beginnings[] = {"<frozen ", "<internal:", "node:", NULL};
    return !frame->file[0] || starts(frame->file, beginnings) || contains(frame->file, files);
}

bool noise_is(const struct frame *frame, enum ledger_language language) {
    if (frame->script)
        return is_wrapper(frame);
    if (is_runtime(frame))
        return true;
    if (contains(frame->function, drivers))
        return false;
    if (noise_is_interpreter(frame->module))
        return true;
    if (language == LEDGER_LIBUV_POOL)
        language = LEDGER_JAVASCRIPT;
    if (language == LEDGER_NATIVE || language >= sizeof interpreters / sizeof *interpreters)
        return false;
    if (!frame->module[0])
        return !frame->function[0]; /* code that the interpreter made as it ran */
    return !strstr(base_name(frame->module), ".so") &&
           starts(frame->function, interpreters[language].functions);
}

bool noise_is_library(const char *path) {
    static const char *const directories[] = {
        "/site-packages/", "/dist-packages/", "/lib/python3",   "/lib64/python3",
        "/perl5/",         "/share/perl/",    "/perl-base/",    "/lib/ruby/",
        "/gems/",          "/vendor_ruby/",   "/node_modules/", "/vendor/",
        "/share/php/",     "/share/lua/",     "/lib/lua/",      NULL};
    return contains(path, directories);
}

/* Behind one of these stands a package's name. */
static const char *const package_directories[] = {"/site-packages/", "/dist-packages/", "/node_modules/",
                                                  "/gems/", NULL};

bool noise_package_of(const char *path, char *into, size_t size) {
    const char *name = NULL;
    for (const char *const *directory = package_directories; *directory; directory++) {
        const char *at = strstr(path, *directory);
        for (; at && (!name || at > name); at = strstr(name, *directory))
            name = at + strlen(*directory);
    }
    if (!name)
        return false;
    /* "_pytest" is pytest's; "@scope/name" is a name. */
    name += *name == '_';
    size_t length = strcspn(name, "/");
    if (*name == '@' && name[length])
        length += 1 + strcspn(name + length + 1, "/");
    else if (!name[length])
        length = strcspn(name, ".");
    /* A gem's directory is NAME-VERSION. */
    for (size_t i = 1; strstr(path, "/gems/") && i + 1 < length; i++)
        if (name[i] == '-' && name[i + 1] >= '0' && name[i + 1] <= '9')
            length = i;
    snprintf(into, size, "%.*s", (int)length, name);
    return length > 0;
}
