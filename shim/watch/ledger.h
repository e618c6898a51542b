/*
 * ledger.h: the file in which one process writes down what it did with its connections.
 *
 * This header is the whole contract between the shim, which writes rows without a system call, and
 * everybody who reads them: the launcher, `pqone report`, the tests. The writer may die at any
 * instruction (that is the point), so a reader believes a row only as far as its own checks go:
 * `used` counts are clamped to `capacity`, indexes are checked, strings end at their array's end.
 *
 * Version rule: a field may be added at the end of a struct (row_size and header_size tell readers how
 * far a row goes) without touching LEDGER_VERSION; anything else raises it, and a reader refuses a
 * version that it does not know.
 *
 * One file per process: LEDGER_DIR/PID-STARTTIME-N.ledger, mode 0600, mapped shared, allocated in full.
 * N counts the images (exec) and forks that had the same pid and start time before.
 */
#ifndef PQONE_LEDGER_H
#define PQONE_LEDGER_H

#include <stdatomic.h>
#include <stdint.h>

#define LEDGER_MAGIC "pqoneLDG"
#define LEDGER_VERSION 1
#define LEDGER_SUFFIX ".ledger"

enum {
    LEDGER_FRAMES = 32,
    LEDGER_MODULES = 192,
    LEDGER_SITES = 512,
    LEDGER_TARGETS = 64,
    LEDGER_HANDLES = 2048,
    LEDGER_SERVERS = 256,
    LEDGER_PIN_REASONS = 32,
    LEDGER_MISUSES = 256,
    LEDGER_TEXT = 192 * 1024,  /* bytes */
    LEDGER_SPANS = 256 * 1024, /* with PQONE_TRACE; without it the table has no room at all */
    LEDGER_LEFT_LISTED = 4,    /* rows a call site may keep of what runtimes closed; the rest only counts */
    LEDGER_STATEMENT = 120,
};

/* Where a table lies in the file. `used` only grows; a row below it may be free again (see its state). */
struct ledger_table {
    uint32_t offset;
    uint32_t row_size;
    uint32_t capacity;
    _Atomic uint32_t used;
};

enum ledger_process_state {
    LEDGER_RUNNING = 0, /* and still there if it was killed, crashed or called _exit */
    LEDGER_EXITED = 1,  /* exit() ran to the shim's destructor */
    LEDGER_EXECED = 2,  /* replaced by exec: the image that follows has a ledger of its own */
};

/* All counters count since this process's ledger began; a forked child starts from zero. */
struct ledger_counters {
    _Atomic uint64_t handles_opened, handles_finished;
    _Atomic uint64_t connects_failed; /* handles that were never connected; included in handles_opened */
    _Atomic uint64_t duplicates;
    _Atomic uint64_t handles_alive, handles_alive_peak;
    _Atomic uint64_t busy, busy_peak; /* handles inside an exchange or a transaction */
    _Atomic uint64_t servers_opened, servers_alive, servers_alive_peak;
    _Atomic uint64_t statements;
    _Atomic uint64_t pins, waits, wait_timeouts, over_cap, replaced_dead, misuse;
    _Atomic uint64_t handles_unlisted;                   /* alive but without a row: the table was full */
    _Atomic uint64_t calls_unlisted;                     /* connects whose call site found no room */
    _Atomic uint64_t pins_by_reason[LEDGER_PIN_REASONS]; /* by enum pin_reason */
    _Atomic uint64_t left;             /* handles that a runtime's shutdown finished; in handles_finished */
    _Atomic uint64_t results_alive;    /* PGresults given out and not cleared; mode observe only */
    _Atomic uint64_t misuses_unlisted; /* misuse events that found no row */
    _Atomic uint64_t scripts_unlisted; /* call sites whose script frames found no room */
    _Atomic uint64_t spans_unlisted;   /* spans that found no room: the timeline ends early */
};

/* Bits of ledger_header.notes: what the reader must say so that absence is not silent. */
enum ledger_note {
    LEDGER_NOTE_UNKNOWN_EXPORTS = 1, /* libpq has functions newer than the table: served as observe */
    LEDGER_NOTE_BYPASSED = 2,        /* libpq is loaded, but no connect came through the shim */
    LEDGER_NOTE_OFF = 4,             /* mode off, or PQONE_DISABLE */
    LEDGER_NOTE_ROAD = 8,            /* a road to libpq that could not be taken; the log says which */
};

/* What the look at the process's memory at its exit came to. */
enum ledger_search {
    LEDGER_SEARCH_NONE = 0, /* did not come to it (killed, _exit, exec), or nothing was alive */
    LEDGER_SEARCH_DONE = 1, /* rows have their verdicts */
    LEDGER_SEARCH_FAILED = 2,
};

struct ledger_header {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint64_t file_size;
    struct ledger_table modules, sites, targets, handles, servers;
    int32_t pid, parent_pid;
    int32_t forked_from; /* pid of the process whose libpq state this one inherited by fork, or 0 */
    _Atomic uint32_t process_state;
    uint64_t process_start;           /* clock ticks since boot, field 22 of /proc/PID/stat */
    int64_t opened_realtime;          /* nanoseconds, CLOCK_REALTIME, at the same instant as ... */
    int64_t opened_monotonic;         /* ... this, CLOCK_MONOTONIC; rows use CLOCK_MONOTONIC */
    _Atomic int64_t closed_monotonic; /* 0 while it runs */
    _Atomic uint32_t notes;
    uint32_t frames_wanted; /* PQONE_STACK */
    char run[64];           /* PQONE_RUN of the launcher that started it, or "" */
    char mode[16];
    char program[256]; /* /proc/self/exe; never arguments: those can hold passwords */
    char libpq[256];   /* path of the first libpq copy that was used, or "" */
    struct ledger_counters counters;
    struct ledger_table misuses, texts, spans;        /* a row of texts is a byte */
    _Atomic uint32_t search;                          /* enum ledger_search */
    uint32_t traced;                                  /* PQONE_TRACE was on */
    _Atomic uint64_t handle_range, handle_range_size; /* addresses of minted handles; 0 before the first */
    _Atomic int64_t spans_full_monotonic;             /* since when spans find no room; 0: all have */
};

/* A loaded object. A reader compares build_id with the file's before it believes debug info. */
struct ledger_module {
    uint64_t base; /* load bias: address = base + offset */
    uint64_t device, inode;
    uint32_t build_id_length; /* 0: the object has none */
    uint8_t build_id[36];
    char path[256];
};

/* A frame is module index (16 bits) over offset in the module (48 bits); the offset is that of the
 * return address minus one, so that it lies inside the call. LEDGER_NO_MODULE: a bare address. */
#define LEDGER_NO_MODULE 0xffffu
#define LEDGER_FRAME(module, offset) ((uint64_t)(module) << 48 | ((uint64_t)(offset)&0xffffffffffffull))
#define LEDGER_FRAME_MODULE(frame) ((uint32_t)((frame) >> 48))
#define LEDGER_FRAME_OFFSET(frame) ((frame)&0xffffffffffffull)

/* The stack at a PQconnect*, innermost frame (the program's call into libpq) first. */
struct ledger_site {
    _Atomic uint32_t depth; /* written last: 0 means the row is not complete */
    uint32_t reserved;
    uint64_t frames[LEDGER_FRAMES];
    _Atomic uint64_t opened, failed, duplicates, finished, pins;
    char name[160]; /* what dladdr knows of the first frame, "function+0x1c (module)"; for want of better */
    uint32_t language;      /* enum ledger_language of the script frames */
    uint32_t script_offset; /* in texts: script frames, innermost first, a line each: FILE TAB LINE TAB */
    uint32_t script_length; /* FUNCTION NEWLINE; FUNCTION may be empty. 0: none */
    _Atomic uint32_t alive, alive_peak;
    _Atomic uint64_t left; /* finished by a runtime's shutdown; included in finished */
};

/* Whose frames stand before the native ones. */
enum ledger_language {
    LEDGER_NATIVE = 0,
    LEDGER_PYTHON = 1,
    LEDGER_RUBY = 2,
    LEDGER_PHP = 3,
    LEDGER_PERL = 4,
    LEDGER_LUA = 5,
    LEDGER_JAVASCRIPT = 6,
    LEDGER_LIBUV_POOL = 7, /* no frames: a thread of libuv's pool, whose work was asked for elsewhere */
};

/* A resolved conninfo, by its readable name: user@host:port/dbname. */
struct ledger_target {
    char name[224];
    _Atomic uint64_t opened, duplicates;
    _Atomic uint32_t alive, alive_peak, busy, busy_peak, servers, servers_peak;
};

enum ledger_handle_state {
    LEDGER_HANDLE_FREE = 0,
    LEDGER_HANDLE_OPEN = 1,
    LEDGER_HANDLE_FAILED = 2,    /* PQconnect* did not connect; still to be finished */
    LEDGER_HANDLE_INHERITED = 3, /* came by fork and was not used in this process yet */
    LEDGER_HANDLE_LEFT = 4,      /* finished by a runtime's shutdown, not by the program; the row is kept */
    LEDGER_HANDLE_TAKEN = 5,     /* came by fork, was used here, and is not finished */
    LEDGER_HANDLE_HANDED = 6,    /* came by fork and was finished here; the row is kept */
};

enum ledger_verdict { LEDGER_UNKNOWN = 0, LEDGER_LOST = 1, LEDGER_HELD = 2 };

/* Whose shutdown finished a handle. LEDGER_AT_EXIT: a handler of exit(), such as a C++ static destructor;
 * `ended` tells whether it was one. */
enum ledger_runtime {
    LEDGER_NO_RUNTIME = 0,
    LEDGER_AT_EXIT = 1,
    LEDGER_BY_PYTHON = 2,
    LEDGER_BY_PERL = 3,
    LEDGER_BY_RUBY = 4,
    LEDGER_BY_PHP_REQUEST = 5,
    LEDGER_BY_PHP_MODULE = 6,
    LEDGER_BY_LUA = 7,
};

/* A handle that is not finished, or one that is to be remembered (LEFT, HANDED); the row of any other is free
 * again after PQfinish. */
struct ledger_handle {
    _Atomic uint32_t state;  /* written last */
    uint32_t site;           /* row in sites, or UINT32_MAX */
    uint32_t target;         /* row in targets, or UINT32_MAX */
    _Atomic uint32_t server; /* row in servers that it holds now, or UINT32_MAX */
    uint64_t number;         /* 1 for the first handle of the process */
    uint64_t address;        /* what the program holds as PGconn * */
    int64_t opened_monotonic;
    _Atomic int64_t last_used_monotonic;
    _Atomic uint64_t statements;
    _Atomic uint32_t pin;             /* enum pin_reason, 0 when not pinned */
    int32_t thread;                   /* tid that connected it */
    _Atomic uint32_t verdict;         /* enum ledger_verdict, once header.search says so */
    uint32_t runtime;                 /* enum ledger_runtime, of a row that is LEFT */
    uint32_t ended;                   /* site of the PQfinish, of a row that is LEFT, else UINT32_MAX */
    _Atomic uint32_t warned;          /* 1 while a warning of PQONE_LEAK_THRESHOLD stands */
    int64_t ended_monotonic;          /* of a row that is LEFT or HANDED */
    char statement[LEDGER_STATEMENT]; /* outline of its last statement, with PQONE_LEAK_THRESHOLD; no
                                         literals. May be torn while the process runs */
};

/* A misuse of libpq, counted by kind, opening site and place. */
struct ledger_misuse {
    _Atomic uint32_t kind; /* enum misuse, from misuse.def; written last: 0 means the row is not complete */
    uint32_t site;         /* where the handle was opened, or UINT32_MAX */
    uint32_t place;        /* where the misuse happened, or UINT32_MAX */
    uint32_t target;
    _Atomic uint64_t count;
    uint64_t handle; /* number of the first one */
    int64_t first_monotonic;
    char function[40]; /* libpq's function that was called */
};

/* A stretch of time in a handle's life. A busy one may be several that lay less than 1 ms apart. */
enum ledger_span_kind { LEDGER_SPAN_ALIVE = 1, LEDGER_SPAN_BUSY = 2 };
struct ledger_span {
    _Atomic uint32_t kind; /* written last */
    uint32_t site;         /* of the handle */
    uint64_t handle;       /* number */
    int64_t begin;
    _Atomic int64_t end;      /* 0 while it lasts */
    uint32_t target;          /* of the handle */
    _Atomic uint32_t state;   /* ALIVE: enum ledger_handle_state. Of one that has ended: LEFT or HANDED if it
                                 ended so, else what it was */
    _Atomic uint64_t periods; /* how often it was busy: in this part, or, ALIVE, at all */
    _Atomic int64_t idle;     /* BUSY: nanoseconds between its parts, in which it was not */
};

enum ledger_server_state { LEDGER_SERVER_FREE = 0, LEDGER_SERVER_OPEN = 1 };

/* A server connection that is open; the row is free again once it is closed. */
struct ledger_server {
    _Atomic uint32_t state;
    int32_t backend_pid;
    uint32_t target;
    _Atomic uint32_t leases; /* how often it changed hands */
    int64_t opened_monotonic;
    _Atomic uint64_t statements;
};

#endif
