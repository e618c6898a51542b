/* stack.c: call sites with script frames, noise, and modules that are no programs, from ledgers made by hand.
 */
#include "cli/symbols/stack.h"

#include <criterion/criterion.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/symbols/function_name.h"
#include "cli/symbols/noise.h"

static struct ledger_module modules[4];
static struct ledger_site sites[2];
static char texts[4096];
static struct ledger ledger = {.modules = modules, .sites = sites, .texts = texts, .site_count = 1};
static struct symbols *symbols;
static struct stack stack;

static void make(void) {
    symbols = symbols_new();
    sites[0].depth = 1;
    sites[0].frames[0] = LEDGER_FRAME(LEDGER_NO_MODULE, 0x1234);
}
static void drop(void) {
    stack_release(&stack);
    symbols_free(symbols);
}
TestSuite(stack, .init = make, .fini = drop);

static void scripts(enum ledger_language language, const char *lines) {
    strcpy(texts, lines);
    ledger.text_length = (uint32_t)strlen(lines);
    sites[0].language = language;
    sites[0].script_length = ledger.text_length;
}

/* One more native frame, in a module of that path. */
static void native(const char *path, uint64_t offset) {
    uint32_t module = ledger.module_count++;
    snprintf(modules[module].path, sizeof modules[module].path, "%s", path);
    sites[0].frames[module] = LEDGER_FRAME(module, offset);
    sites[0].depth = ledger.module_count;
}

static const char *text(const struct frame *frame) {
    static char line[1024];
    return frame_text(frame, line, sizeof line);
}

static void read_stack(void) {
    stack_release(&stack);
    cr_assert(stack_of_site(symbols, &ledger, 0, &stack));
}

static const char *first(void) {
    read_stack();
    return text(stack_first(&stack));
}

Test(stack, script_frames_come_first_and_name_the_place) {
    native("/usr/lib/python3/dist-packages/psycopg2/_psycopg.so", 0x16997);
    native("/usr/bin/python3.11", 0x2000);
    scripts(LEDGER_PYTHON, "app/db.py\t41\tget_conn\napp/main.py\t7\t<module>\n");
    cr_expect_str_eq(first(), "app/db.py:41 in get_conn");
    cr_assert_eq(stack.count, 4);
    cr_expect_str_eq(text(&stack.frames[1]), "app/main.py:7 in <module>");
    cr_expect(stack.frames[0].script && stack.frames[1].script && !stack.frames[2].script);
    cr_expect(!stack.frames[2].noise, "the driver tells something");
    cr_expect(stack.frames[3].noise, "the interpreter does not");
    cr_expect_eq(stack.language, LEDGER_PYTHON);
}

Test(stack, the_drivers_own_script_is_noise_and_libraries_are_not_the_program) {
    scripts(LEDGER_PYTHON, "/usr/lib/python3/dist-packages/psycopg2/__init__.py\t122\tconnect\n"
                           "/venv/lib/python3.11/site-packages/sqlalchemy/pool/base.py\t677\t__connect\n"
                           "/srv/app/db.py\t41\tget_conn\n");
    cr_expect_str_eq(first(), "/srv/app/db.py:41 in get_conn");
    cr_expect(stack.frames[0].noise && !stack.frames[1].noise);
    scripts(LEDGER_PYTHON, "/usr/lib/python3/dist-packages/psycopg2/__init__.py\t122\tconnect\n"
                           "/venv/lib/python3.11/site-packages/tool/__main__.py\t6\tmain\n");
    cr_expect_str_eq(first(), "/venv/lib/python3.11/site-packages/tool/__main__.py:6 in main");
    scripts(LEDGER_PERL, "/usr/lib/x86_64-linux-gnu/perl5/5.36/DBI.pm\t748\tDBI::connect\nshop.pl\t3\t\n");
    cr_expect_str_eq(first(), "shop.pl:3");
    scripts(LEDGER_PYTHON, "<string>\t1\t<module>\n");
    cr_expect_str_eq(first(), "<string>:1 in <module>");
}

Test(stack, a_file_below_the_current_directory_is_relative) {
    char here[256], lines[600];
    cr_assert(getcwd(here, sizeof here));
    snprintf(lines, sizeof lines, "%s/./app//db.py\t41\tf\n%s-2/db.py\t4\tg\n../x.py\t1\th\n", here, here);
    scripts(LEDGER_PYTHON, lines);
    cr_expect_str_eq(first(), "app/db.py:41 in f");
    snprintf(lines, sizeof lines, "%s-2/db.py:4 in g", here);
    cr_expect_str_eq(text(&stack.frames[1]), lines);
    cr_expect_str_eq(text(&stack.frames[2]), "../x.py:1 in h");
}

Test(stack, script_lines_may_be_damaged) {
    scripts(LEDGER_RUBY, "no tabs\n\na\tb\n\t\t\nx.rb\t99999999999999\tf\nx.rb\t-4\tg\nlast\t7\tline");
    read_stack();
    const char *const expected[] = {"no tabs", "a", "", "x.rb in f", "x.rb in g", "last:7 in line"};
    for (size_t i = 0; i < 6; i++)
        cr_expect_str_eq(text(&stack.frames[i]), expected[i]);
}

Test(stack, without_script_frames_the_driver_is_the_best_there_is) {
    native("/usr/lib/ruby/vendor_ruby/3.1.0/pg_ext.so", 0x105cd);
    native("/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1", 0x77);
    strcpy(sites[0].name, "gvl_PQconnectStart+0x38 (pg_ext.so)");
    cr_expect_str_eq(first(), "gvl_PQconnectStart+0x38 (pg_ext.so, gone from disk since)");
    cr_expect(stack.frames[1].noise);
}

Test(stack, libuvs_pool_is_said_behind_what_runs_in_it) {
    native("/srv/app/node_modules/libpq/build/Release/addon.node", 0x1000);
    sites[0].language = LEDGER_LIBUV_POOL;
    read_stack();
    cr_assert_eq(stack.count, 2);
    cr_expect_not_null(strstr(text(&stack.frames[1]), "libuv's pool"));
    cr_expect_str_eq(first(), "addon.node+0x1000 (gone from disk since)");
}

Test(stack, an_unknown_place_has_no_frames) {
    cr_expect(stack_of_site(symbols, &ledger, LEDGER_ROW_NONE, &stack) && stack.count == 0);
    cr_expect_null(stack_first(&stack));
    cr_expect_str_eq(text(NULL), "an unknown place");
    cr_expect_str_eq(first(), "0x1234");
    ledger.site_count = 0;
    cr_expect_str_eq(first(), "an unknown place");
}

Test(stack, identity_outlives_moved_lines_and_other_offsets) {
    scripts(LEDGER_PHP, "/srv/a/db.php\t41\tget\n/srv/a/index.php\t7\t{main}\n");
    native("/usr/lib/php/pgsql.so", 0x10);
    read_stack();
    char *one = stack_identity(&stack);
    scripts(LEDGER_PHP, "/home/ci/a/db.php\t43\tget\n/home/ci/a/index.php\t8\t{main}\n");
    sites[0].frames[0] = LEDGER_FRAME(0, 0x50);
    read_stack();
    char *other = stack_identity(&stack);
    scripts(LEDGER_PHP, "/srv/a/db.php\t41\tput\n/srv/a/index.php\t7\t{main}\n");
    read_stack();
    char *third = stack_identity(&stack);
    cr_expect_str_eq(one, other);
    cr_expect_str_neq(one, third);
    free(one);
    free(other);
    free(third);
}

Test(stack, names_of_interpreters_are_whole_names) {
    cr_expect(noise_is_interpreter("/usr/bin/python3.11") && noise_is_interpreter("/usr/bin/perl") &&
              noise_is_interpreter("/usr/lib/libpython3.11.so.1.0") && noise_is_interpreter("php8.2"));
    cr_expect(!noise_is_interpreter("/usr/bin/perlbench") && !noise_is_interpreter("node_exporter") &&
              !noise_is_interpreter("/srv/python-shop/shop"));
}

Test(stack, mangled_names_are_read_without_parameters) {
    static const char *const names[][2] = {
        {"_ZN4shop4PoolINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE4openERKS6_",
         "shop::Pool<std::string>::open"},
        {"_ZZ4mainENKUlPKcE_clES0_", "main::{lambda(char const*)#1}::operator()"},
        {"_ZN4shop7connectEv.cold", "shop::connect"},
        {"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
        {"_ZN4shop2db7connect17h0123456789abcdefE", "shop::db::connect"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *name = function_name_demangled(names[i][0]);
        cr_expect(name && strcmp(name, names[i][1]) == 0, "%s", name ? name : "NULL");
        free(name);
    }
    cr_expect_null(function_name_demangled("PQconnectdb"));
    cr_expect_null(function_name_demangled("_start"));
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Each in a module of its own, at offsets inside and far outside. */
static void expect_no_line(const char *path) {
    static const uint64_t offsets[] = {0, 0x1130, 0xffffffffffff};
    double begin = seconds();
    ledger.module_count = 0;
    native(path, 0);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        sites[0].frames[0] = LEDGER_FRAME(0, offsets[i]);
        read_stack();
        cr_expect(stack.count == 1 && stack.frames[0].line == 0, "%s", path);
    }
    cr_expect_lt(seconds() - begin, 2.0, "%s", path);
}

Test(stack, modules_that_are_no_programs_cost_no_time) {
    char directory[] = "/tmp/pqone-stack.XXXXXX", path[64];
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/file", directory);
    cr_assert(mkfifo(path, 0600) == 0);
    expect_no_line(path);
    unlink(path);
    int file = open(path, O_RDWR | O_CREAT, 0600);
    expect_no_line(path);
    cr_assert(write(file, "\177ELF\2\1\1", 7) == 7 && ftruncate(file, (off_t)1 << 40) == 0);
    symbols_free(symbols);
    symbols = symbols_new();
    expect_no_line(path);
    close(file);
    unlink(path);
    rmdir(directory);
    expect_no_line("/dev/zero");
    expect_no_line("/dev/tty");
    expect_no_line("/tmp");
    expect_no_line("relative/name");
    expect_no_line("");
}

/* Or the damaged file would not be believed, and so not be read. */
static void copy_build_id(int file) {
    const void *id;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ, NULL);
    ssize_t length = dwelf_elf_gnu_build_id(elf, &id);
    cr_assert(length > 0 && length <= (ssize_t)sizeof modules[0].build_id);
    memcpy(modules[0].build_id, id, (size_t)length);
    modules[0].build_id_length = (uint32_t)length;
    elf_end(elf);
}

/* A program cut off anywhere, and one with damaged bytes; the reader's own, so that it has everything. */
Test(stack, damaged_programs_are_no_trap, .timeout = 60) {
    char path[] = "/tmp/pqone-stack.XXXXXX";
    static unsigned char bytes[64 << 20];
    int self = open("/proc/self/exe", O_RDONLY), file = mkstemp(path);
    ssize_t length = read(self, bytes, sizeof bytes);
    cr_assert(length > 1000 && length < (ssize_t)sizeof bytes);
    native(path, 0);
    copy_build_id(self);
    close(self);
    unsigned random = 1, lines = 0;
    for (int i = 0; i < 60; i++) {
        random = random * 1103515245 + 12345;
        size_t size = i % 2 ? (size_t)length : (size_t)(random >> 4) % (size_t)length;
        for (int change = 0; i % 2 && change < 40; change++) {
            random = random * 1103515245 + 12345;
            bytes[(random >> 4) % (change < 20 ? 4096 : (size_t)length)] = (unsigned char)(random >> 16);
        }
        cr_assert(ftruncate(file, 0) == 0 && pwrite(file, bytes, size, 0) == (ssize_t)size);
        symbols_free(symbols);
        symbols = symbols_new();
        for (uint64_t offset = 0; offset < 64; offset++) {
            sites[0].frames[0] = LEDGER_FRAME(0, offset * ((uint64_t)length / 64));
            read_stack();
            cr_expect_geq(stack.count, 1);
            lines += stack.frames[0].line > 0;
        }
    }
    cr_expect_gt(lines, 0, "nothing was read at all");
    close(file);
    unlink(path);
}

Test(stack, a_librarys_file_names_its_package) {
    static const struct {
        const char *path, *package;
    } cases[] = {
        {"/usr/lib/python3/dist-packages/_pytest/main.py", "pytest"},
        {"/srv/venv/lib/python3.11/site-packages/sqlalchemy/pool/base.py", "sqlalchemy"},
        {"/usr/lib/python3/dist-packages/six.py", "six"},
        {"/var/lib/gems/3.1.0/gems/rspec-core-3.12.0/lib/rspec/core.rb", "rspec-core"},
        {"/srv/node_modules/a/node_modules/@scope/b/index.js", "@scope/b"},
        {"/usr/lib/python3.11/threading.py", NULL},
        {"app/db.py", NULL},
        {"/srv/site-packages/", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64] = "";
        bool found = noise_package_of(cases[i].path, name, sizeof name);
        cr_expect_eq(found, cases[i].package != NULL, "%s", cases[i].path);
        cr_expect_str_eq(name, cases[i].package ? cases[i].package : "", "%s", cases[i].path);
    }
}
