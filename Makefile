# pqone's build: the shim (libpqone.so), the launcher (pqone), their tests and the demo. `make help`.
B ?= build
PREFIX ?= /usr/local
CC ?= gcc
CXX ?= g++
CFLAGS ?= -O2 -g
LIBPQ_INCLUDE ?= $(shell pg_config --includedir 2>/dev/null)

# Files that define the interposed symbols. They stay out of engine.a, so that the launcher and the unit
# runner are never their own victims.
FACADE := forward connect cancel callbacks asynchronous preparing exec roads/dynlink sockets/guard sockets/options

SANITIZE ?=
sanitize := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
warn := -Wall -Wextra -Wshadow -Wmissing-prototypes $(if $(WERROR),-Werror)
compile = $(CC) -std=gnu11 -D_GNU_SOURCE= $(CFLAGS) $(warn) $(sanitize) $(CPPFLAGS) -MMD -MP -pthread \
	-Ishim $(if $(LIBPQ_INCLUDE),-I$(LIBPQ_INCLUDE))
link = $(CC) $(CFLAGS) $(sanitize) $(LDFLAGS) -pthread

objects = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
shim := $(call objects,shim/*.c shim/roads/*.c shim/sockets/*.c shim/watch/*.c)
engine := $(filter-out $(FACADE:%=$(B)/shim/%.o),$(shim))
cli := $(call objects,shim/cli/*.c shim/cli/*/*.c)
unit := $(call objects,tests/unit/*.c)
programs := $(patsubst tests/programs/%.c,$(B)/programs/%,$(wildcard tests/programs/*.c))
plain := $(addprefix $(B)/programs/plain/,never escapes forget ends stay static waits whole leaks_in_cpp)
fakes := $(patsubst tests/fake/%.c,$(B)/fake/%,$(wildcard tests/fake/call*.c)) $(B)/fake/storm $(B)/fake/wrapper \
	$(B)/fake/libpq.so.5 $(B)/fake/future/libpq.so.5
samples := $(B)/formats/sample
demo := $(addprefix $(B)/demo/,host pages sampler)
scripts := $(addprefix $(B)/scripts/,probe.so stubborn.so embed)
bench := $(addprefix $(B)/bench/,client singleton starts)
sources = $(shell find shim tests demo -name '*.[ch]')

all: $(B)/libpqone.so $(B)/pqone

help:
	@printf '%s\n' \
	'make                 build/libpqone.so (the shim) and build/pqone (the launcher)' \
	'make test            everything: units, symbols, fake libpq, real programs on a throwaway PostgreSQL' \
	'make unit            the unit tests alone' \
	'make demo            three scenes, each without and with the shim; installs what it needs' \
	'make demo-nextjs     a Next.js shop with Prisma, hot-reloaded, without and with the shim; says what it installs' \
	'make bench           direct, singleton, pqone and PgBouncer in turns, as ratios' \
	'make asan tsan       units and C programs under the address, undefined and thread sanitizers' \
	'make test-matrix     the tests with libpq 15, 17 and 18 in folders of debootstrap; SUITES="trixie"' \
	'make fuzz            the fuzzers of everything that parses, FUZZ_SECONDS=10 each' \
	'make format lint     lay out the sources; check layout, and build with clang, warnings as errors' \
	'make install         PREFIX=/usr/local DESTDIR=; make uninstall takes it away again' \
	'make clean           removes build/' \
	'' \
	'B=dir builds elsewhere, WERROR=1 makes warnings errors, TESTS="real capacity/cap_of_one" runs only those,' \
	'TRANSFER_SECONDS=60 makes the money transfer run for a minute, NEIGHBOUR_SECONDS=60 each of the cases that' \
	'look whether a handle ever gets a neighbour'"'"'s rows.'

visibility = hidden
$(B)/tests/%.o: visibility = default
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(compile) -fPIC -fvisibility=$(visibility) -c -o $@ $<

$(B)/libpqone.so: $(shim)
	$(link) -shared -Wl,-soname,libpqone.so -Wl,--as-needed $(if $(SANITIZE),,-Wl,-z,defs) -o $@ $^ -ldl

$(B)/engine.a: $(engine)
	@rm -f $@
	ar rcs $@ $^

# The page's style and scripts are put into the launcher as they are.
$(B)/shim/cli/reports/report_html.o: $(wildcard shim/cli/reports/page/*)

$(B)/pqone: $(cli) $(B)/engine.a
	$(link) -o $@ $^ -ldw -lelf -ljansson -liberty -ldl

$(B)/unit: $(unit) $(filter-out %/main.o,$(cli)) $(B)/engine.a
	$(link) -rdynamic -o $@ $^ -lcriterion -ldw -lelf -ljansson -liberty -ldl

# -rdynamic: a log line without launcher names functions by what dladdr knows.
$(B)/programs/%: $(B)/tests/programs/%.o $(call objects,tests/programs/case/*.c)
	@mkdir -p $(@D)
	$(link) -rdynamic -o $@ $^ -lpq -ldl
$(addprefix $(B)/programs/plain/,forget ends stay waits): $(B)/programs/plain/%: $(B)/tests/programs/plain/%.o
	@mkdir -p $(@D)
	$(link) -rdynamic -o $@ $^ -lpq
$(B)/programs/plain/escapes: $(B)/tests/programs/plain/escapes.o
	@mkdir -p $(@D)
	$(link) -o $@ $^
$(B)/programs/plain/never: $(B)/tests/programs/plain/never.o
	@mkdir -p $(@D)
	$(link) -o $@ $^
$(B)/programs/plain/static: tests/programs/plain/static.c
	@mkdir -p $(@D)
	$(CC) -static -o $@ $<
$(B)/programs/plain/leaks_in_cpp: tests/programs/plain/leaks.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g -Wall -Wextra $(if $(WERROR),-Werror) $(if $(LIBPQ_INCLUDE),-I$(LIBPQ_INCLUDE)) -o $@ $< -lpq
# A program with a libpq of its own inside; the fake one, because libpq.a wants libraries that few machines have.
$(B)/programs/plain/whole: $(B)/tests/fake/caller.o $(B)/tests/fake/libpq.o
	@mkdir -p $(@D)
	$(link) -o $@ $^

$(B)/fake/libpq.so.5: $(B)/tests/fake/libpq.o
	@mkdir -p $(@D)
	$(link) -shared -Wl,-soname,libpq.so.5 -o $@ $^
$(B)/tests/fake/future.o: tests/fake/libpq.c
	@mkdir -p $(@D)
	$(compile) -DFUTURE -fPIC -c -o $@ $<
$(B)/fake/future/libpq.so.5: $(B)/tests/fake/future.o
	@mkdir -p $(@D)
	$(link) -shared -Wl,-soname,libpq.so.5 -o $@ $^
$(B)/fake/%: $(B)/tests/fake/%.o $(B)/fake/libpq.so.5
	$(link) -rdynamic -o $@ $^ -ldl

# Script frames without libpq: the engine's own reader behind a function that every language can call.
$(B)/scripts/probe.so: $(B)/tests/scripts/probe.o $(B)/engine.a
	@mkdir -p $(@D)
	$(link) -shared -Wl,--exclude-libs,ALL -o $@ $^ -ldl

$(B)/scripts/embed: $(B)/tests/scripts/embed.o
	@mkdir -p $(@D)
	$(link) -o $@ $^ -ldl
$(B)/scripts/stubborn.so: $(B)/tests/scripts/stubborn.o
	@mkdir -p $(@D)
	$(link) -shared -o $@ $^ -lpq

# Reports of made-up verdicts, for readers of the formats.
$(B)/formats/sample: $(B)/tests/formats/sample.o $(B)/tests/unit/ledger_sample.o $(filter-out %/main.o,$(cli)) $(B)/engine.a
	@mkdir -p $(@D)
	$(link) -o $@ $^ -ldw -lelf -ljansson -liberty -ldl

# Another copy of libpq in one process, as wheels carry it: under a soname of its own, and reading another
# variable for application_name, by which the server tells whose connection it is.
libpq := $(realpath $(shell $(CC) -print-file-name=libpq.so))
roads := $(addprefix $(B)/roads/,host loader early.so caller.so below/libinner.so whole.so extension-now.so \
	extension-lazy.so extension2-now.so extension2-lazy.so)
$(B)/roads/libpq.so.5: $(libpq)
	@mkdir -p $(@D)
	ln -sf $< $@
$(B)/roads/libpq2.so5: $(libpq)
	@mkdir -p $(@D)
	LC_ALL=C sed 's/libpq\.so\.5\x00/libpq2.so5\x00/g; s/PGAPPNAME\x00/PGAPPNAM2\x00/g' $< >$@
$(B)/roads/extension-%.so: tests/roads/extension.c $(B)/roads/libpq.so.5
	$(compile) -fPIC -shared -Wl,-z,$* -o $@ $^
$(B)/roads/extension2-%.so: tests/roads/extension.c $(B)/roads/libpq2.so5
	$(compile) -fPIC -shared -Wl,-z,$* '-Wl,-rpath,$$ORIGIN' -o $@ $^
$(B)/roads/whole.so: $(B)/tests/roads/extension.o $(B)/tests/fake/libpq.o
	@mkdir -p $(@D)
	$(link) -shared -o $@ $^
$(B)/roads/below/libinner.so: tests/roads/inner.c
	@mkdir -p $(@D)
	$(compile) -fPIC -shared -Wl,-soname,libinner.so -o $@ $<
$(B)/roads/early.so: tests/roads/early.c
	@mkdir -p $(@D)
	$(compile) -fPIC -shared -o $@ $<
$(B)/roads/caller.so: tests/roads/caller.c
	@mkdir -p $(@D)
	$(compile) -fPIC -shared '-Wl,-rpath,$$ORIGIN/below' -o $@ $<
$(B)/roads/%: tests/roads/%.c
	@mkdir -p $(@D)
	$(compile) -rdynamic -o $@ $< -ldl

# libpqxx, a driver in C++.
drivers := $(B)/drivers/pqxx
$(B)/drivers/%: tests/drivers/clients/%.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -Wall -Wextra $(if $(WERROR),-Werror) $(if $(LIBPQ_INCLUDE),-I$(LIBPQ_INCLUDE)) -o $@ $< -lpqxx -lpq

$(B)/demo/%: demo/%.c
	@mkdir -p $(@D)
	$(compile) -rdynamic -o $@ $< -lpq -ldl

$(B)/bench/singleton: tests/bench/client.c
	@mkdir -p $(@D)
	$(compile) -DSINGLETON -o $@ $< -lpq
$(B)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(compile) -o $@ $< -lpq

$(B)/timeline/overlap: $(B)/tests/timeline/overlap.o
	@mkdir -p $(@D)
	$(link) -rdynamic -o $@ $^ -lpq
$(B)/timeline/%: $(B)/tests/timeline/%.o
	@mkdir -p $(@D)
	$(link) -o $@ $^

test-programs: all $(B)/timeline/overlap $(B)/timeline/story $(programs) $(plain) $(fakes) $(roads) $(scripts) $(drivers) $(samples)

test:
	@tests/install-needs build test
	@$(MAKE) all $(B)/unit test-programs
	@B=$(B) tests/suite $(TESTS)

unit:
	@tests/install-needs build test
	@$(MAKE) $(B)/unit
	@timeout --foreground 300 $(B)/unit

demo:
	@tests/install-needs build demo
	@$(MAKE) -s all $(demo)
	@B=$(B) demo/run

demo-nextjs:
	@tests/install-needs build demo nextjs
	@$(MAKE) -s all $(B)/demo/sampler
	@B=$(B) demo/nextjs/run

bench:
	@tests/install-needs build test bench
	@$(MAKE) -s all $(bench)
	@B=$(B) tests/bench/run

asan tsan: SHORT ?= 1
asan:
	@tests/install-needs build test
	@$(MAKE) B=$(B)/asan SANITIZE=address,undefined CFLAGS='-O1 -g' sanitized
tsan:
	@tests/install-needs build test
	@$(MAKE) B=$(B)/tsan SANITIZE=thread CFLAGS='-O1 -g' sanitized
sanitized: all $(B)/unit test-programs
	@B=$(B) SANITIZE=$(SANITIZE) tests/suite $(TESTS)

# One build for all: each folder has a libpq and a server of its own.
test-matrix:
	@tests/install-needs build test matrix
	@$(MAKE) all test-programs
	@B=$(B) tests/matrix $(SUITES)

fuzzers := $(patsubst tests/fuzz/%.c,$(B)/fuzzers/%,$(wildcard tests/fuzz/*.c))
fuzz:
	@tests/install-needs build lint
	@$(MAKE) B=$(B)/fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined fuzz-all
fuzz-all: $(fuzzers)
	@for one in $^; do echo "$$one"; $$one -max_total_time=$${FUZZ_SECONDS:-10} -print_final_stats=0 2>&1 | tail -n 3; done
$(B)/fuzzers/%: $(B)/tests/fuzz/%.o $(filter-out %/main.o,$(cli)) $(B)/engine.a
	@mkdir -p $(@D)
	$(link) -fsanitize=fuzzer -o $@ $^ -ldw -lelf -ljansson -liberty -ldl

format:
	clang-format -i $(sources)

lint:
	@tests/install-needs build test lint
	clang-format --dry-run -Werror $(sources)
	@$(MAKE) B=$(B)/clang CC=clang WERROR=1 all $(B)/clang/unit test-programs $(patsubst %.c,$(B)/clang/%.o,$(wildcard tests/fuzz/*.c))

bin := $(DESTDIR)$(PREFIX)/bin
lib := $(DESTDIR)$(PREFIX)/lib/pqone
share := $(DESTDIR)$(PREFIX)/share
manual := $(wildcard shim/cli/*.1)
installed = $(bin)/pqone $(lib)/libpqone.so $(manual:shim/cli/%=$(share)/man/man1/%) \
	$(share)/bash-completion/completions/pqone $(share)/zsh/site-functions/_pqone \
	$(share)/fish/vendor_completions.d/pqone.fish

install: all
	install -D -m 755 $(B)/pqone $(bin)/pqone
	install -D -m 755 $(B)/libpqone.so $(lib)/libpqone.so
	$(foreach page,$(manual),install -D -m 644 $(page) $(share)/man/man1/$(notdir $(page));)
	install -D -m 644 shim/cli/completions/pqone.bash $(share)/bash-completion/completions/pqone
	install -D -m 644 shim/cli/completions/_pqone $(share)/zsh/site-functions/_pqone
	install -D -m 644 shim/cli/completions/pqone.fish $(share)/fish/vendor_completions.d/pqone.fish

uninstall:
	rm -f $(installed)
	-rmdir $(lib)

clean:
	rm -rf $(B)

-include $(shim:.o=.d) $(cli:.o=.d) $(unit:.o=.d) $(wildcard $(B)/tests/*/*.d $(B)/tests/*/*/*.d)
.PHONY: all help test-programs test test-matrix unit demo demo-nextjs bench asan tsan sanitized fuzz fuzz-all format lint install uninstall clean
.SECONDARY:
