#!/bin/bash
# Tests of the launcher: tests/cli/run.sh BUILD-DIRECTORY. Needs build/pqone and build/libpqone.so, a C compiler
# and no server. Prints one line per test and a closing count; the exit status is 1 if one failed.
set -u
tree=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-build}" && pwd) || exit 1
pqone=$build/pqone
[ -x "$pqone" ] && [ -e "$build/libpqone.so" ] || { echo "there is no pqone with its libpqone.so in $build"; exit 1; }
scratch=$(mktemp -d) || exit 1
# Not in a subshell that dies of a signal before it has become its command.
trap '[ "$BASHPID" = $$ ] && rm -rf "$scratch"' EXIT
unset "${!PQONE_@}" LD_PRELOAD NO_COLOR XDG_RUNTIME_DIR
mkdir -m 700 "$scratch/ledgers"
export PQONE_LEDGER_DIR=$scratch/ledgers
cd "$scratch" || exit 1

compile() { ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -g -O1 -o "$@"; }
# A shim with a sanitizer cannot be preloaded into programs without one; the launcher's part is the same with any
# library.
if grep -Eq '__(asan|tsan)_init' "$build/libpqone.so"; then
    echo "# the library has a sanitizer: another one stands in for it"
    mkdir stand-in && cp "$pqone" stand-in/ && echo 'int stand_in;' >stand-in.c &&
        compile stand-in/libpqone.so -shared -fPIC stand-in.c || exit 1
    build=$scratch/stand-in pqone=$scratch/stand-in/pqone
fi
compile scribe "$tree/tests/cli/scribe.c" "$tree/tests/unit/ledger_sample.c" -Wl,--build-id || exit 1
echo 'int main(void) { return 4; }' >static.c
compile static -static static.c || exit 1
echo 'int PQconnectdb(void) { return 0; } int main(void) { return 5; }' >swallowed.c
compile swallowed swallowed.c || exit 1

count=0 passed=0 failed=0
# check WHAT COMMAND...: the command tells by its status.
check() {
    local what=$1
    shift
    count=$((count + 1))
    if "$@"; then
        passed=$((passed + 1))
        echo "ok $count - $what"
    else
        failed=$((failed + 1))
        echo "not ok $count - $what"
        sed 's/^/#   out: /' out 2>/dev/null
        sed 's/^/#   err: /' err 2>/dev/null
    fi
}
# run ARGUMENTS...: pqone with its streams in files and its status in $status.
run() { "$pqone" "$@" >out 2>err </dev/null; status=$?; }
is() { [ "$1" = "$2" ] || { echo "#   is: $1, expected: $2"; return 1; }; }
# A line of a file, as an extended regular expression.
says() { grep -Eq -- "$2" "$1"; }
silent() { [ ! -s "$1" ]; }
not() { ! "$@"; }
no_socket() { ! compgen -G "$PQONE_LEDGER_DIR/*.sock" >/dev/null; }
# until_true COMMAND...: waits up to ten seconds.
until_true() { for _ in $(seq 200); do "$@" && return 0; sleep 0.05; done; return 1; }
state_of() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null; }
in_state() { [ "$(state_of "$1")" = "$2" ]; }
child_of() { cat "/proc/$1/task/$1/children" 2>/dev/null | cut -d' ' -f1; }
runs() { [ "$(basename "$(readlink "/proc/$1/exe")")" = "$2" ]; }
has_child() { [ -n "$(child_of "$1")" ]; }

# --- exit status
run run -- sh -c 'exit 7'; check "the program's exit status is passed on" is $status 7
run run sh -c 'exit 3'; check "-- may be left out" is $status 3
run run -- /nonexistent/program; check "127 for a program that is not there" is $status 127
check "... said in one line" says err '^pqone: /nonexistent/program: No such file'
run run -- not-a-command-anywhere; check "127 for a name that PATH does not have" is $status 127
: >plain; chmod 644 plain
run run -- ./plain; check "126 for a file that cannot be executed" is $status 126
run run; check "125 without a program" is $status 125
run run -- sh -c 'kill -TERM $$'; check "a program that dies of a signal: the launcher dies of it too" is $status 143
python3 - "$pqone" <<'P' >out 2>err
import subprocess, sys
sys.exit(0 if subprocess.run([sys.argv[1], "run", "--quiet", "--", "sh", "-c", "kill -KILL $$"]).returncode == -9 else 1)
P
check "... for whoever waits for it, not only as 128+n" is $? 0

# --- arguments and environment
run run -- printf '[%s]' 'a b' '' '--mode' '*' $'new\nline'
check "arguments reach the program as they are" is "$(cat out)" "$(printf '[%s]' 'a b' '' '--mode' '*' $'new\nline')"
run run --mode=session --max-connections 7 -- sh -c 'echo $PQONE_MODE $PQONE_MAX_CONNECTIONS'
check "settings reach the program's environment" is "$(cat out)" "session 7"
run run --disable -- sh -c 'echo $PQONE_DISABLE'; check "a switch needs no value" is "$(cat out)" 1
check "... and the summary says that pqone was off" says err 'switched off'
run run --disable=0 -- sh -c 'echo $PQONE_DISABLE'; check "a switch can be off" is "$(cat out)" 0
run run -- sh -c 'echo $PQONE_LEDGER_DIR $PQONE_RUN'
check "the program knows the place and the run" says out "^$PQONE_LEDGER_DIR [0-9]+-[0-9]+\$"
run run -- sh -c 'echo $LD_PRELOAD'; check "the library is preloaded" is "$(cat out)" "$build/libpqone.so"
LD_PRELOAD=/lib/other.so "$pqone" run -- sh -c 'echo $LD_PRELOAD' >out 2>err
check "what was preloaded before stays, behind ours" is "$(cat out)" "$build/libpqone.so:/lib/other.so"
# The option concerns a launcher that was built with the address sanitizer.
ASAN_OPTIONS=verify_asan_link_order=0 run run -- "$pqone" run -- sh -c 'echo $LD_PRELOAD'
check "a launcher inside a launcher preloads once" is "$(cat out)" "$build/libpqone.so"
(umask 027 && run run -- sh -c umask); check "the program's umask is the inherited one" is "$(cat out)" 0027
mkdir "with space" && cp "$pqone" "$build/libpqone.so" "with space/"
"with space/pqone" run -- true >out 2>err; check "125 where LD_PRELOAD cannot express the path" is $? 125
check "... and says why" says err 'LD_PRELOAD cannot express'
mkdir -p installed/bin installed/lib/pqone && cp "$pqone" installed/bin/ && cp "$build/libpqone.so" installed/lib/pqone/
check "an installed launcher finds ../lib/pqone" is "$(installed/bin/pqone run --quiet -- sh -c 'echo $LD_PRELOAD')" \
    "$scratch/installed/lib/pqone/libpqone.so"
mkdir alone && cp "$pqone" alone/ && alone/pqone run -- true 2>err; check "125 without any library" is $? 125
check "... and says where it looked" says err 'libpqone.so is neither'

# --- bad options
bad() {
    local what=$1 pattern=$2
    shift 2
    run "$@"
    check "$what: 125" is $status 125
    check "$what: one line that says it" says err "$pattern"
    check "$what: no more than that line" is "$(wc -l <err)" 1
}
bad "an unknown option" 'no option --nope; see --help' run --nope -- true
bad "a mistyped option" 'no option --lingr; did you mean --linger\?$' run --lingr -- true
bad "a mistyped option of check" 'did you mean --suppressions\?$' check --supressions=x -- true
bad "... which run does not have" 'no option --supressions; see' run --supressions=x -- true
bad "a short option" 'no option -x' run -x -- true
bad "a bad mode" '^pqone: --mode "bogus" is not accepted' run --mode bogus -- true
bad "a bad number" '^pqone: --max-connections "-3" is' run --max-connections=-3 -- true
bad "a bad duration in a check" '^pqone: --leak-threshold "3x" is' check --leak-threshold 3x -- true
bad "a bad number of an option of check" '^pqone: --budget x: accepted is' check --budget x -- true
bad "an option without its value" 'log needs a value' run --log
bad "an option whose value was forgotten before --" 'report needs a value' run --report -- true
bad "a duplicate that is to fail in a check" 'on-duplicate fail is for pqone run' check --on-duplicate fail -- touch started
bad "a value for a flag" 'quiet takes no value' run --quiet=yes -- true
bad "an unknown report format" 'no such format' run --report bunting -- true
bad "a report without a file name" 'empty' run --report json= -- true
bad "a report that cannot be written" 'report /nonexistent/x cannot be written' run --report json=/nonexistent/x -- touch started
check "... and the program is not started" [ ! -e started ]
bad "a report over a directory" 'Is a directory' run --report "json=$scratch" -- touch started
bad "an unknown command" 'no command frobnicate' frobnicate
bad "a command of a later version" 'ps: not in this version' ps
bad "report without files" 'of what' report
bad "report of a missing file" 'cannot be read' report /nonexistent.ledger
bad "report of a pid without ledger" 'holds no ledger of process 1 ' report 1
run run --via 'host=pooler password=hunter2' -- true; check "a password in --via is refused" is $status 125
check "... and not repeated" not says err hunter2
run run --help; check "--help: 0" is $status 0
check "... names every setting" is "$(grep -c '^    --.*(PQONE_' out)" "$(($(grep -c '^SETTING' "$tree/shim/settings.def") + 1))"
check "... and that a report replaces the summary" says out 'in place of the summary'
check "... and that a switch takes no separate word" says out '^    --disable\[=0\|1\] '
run check --help
check "check --help: has what check obeys" says out '^    --leak-threshold VALUE'
check "... and nothing that only sharing obeys" not \
    grep -Eq '^    --(max-connections|wait-timeout|safe-functions|linger|idle-timeout|max-lifetime|mode) ' out
check "... says what a duplicate does there" says out 'on-duplicate VALUE    \(PQONE_ON_DUPLICATE, default ignore\)'
check "... and that a switch may name a file" says out '^    --gen-suppressions\[=FILE\]'
run check --allow-unused --linger 2s -- true
check "... but it is accepted" is $status 0
missing=
for name in $(sed -n 's/^SETTING([a-z_]*, "\([A-Z_]*\)".*/\1/p' "$tree/shim/settings.def"); do
    option=$(tr A-Z_ a-z- <<<"$name")
    tr -d '\\' <"$tree/shim/cli/pqone.1" | grep -q -- "--$option.*PQONE_$name" || missing+=" pqone.1:$name"
    grep -q -- "--$option\b" "$tree/shim/cli/completions/pqone.bash" || missing+=" pqone.bash:$name"
    grep -q -- "--$option\b" "$tree/shim/cli/completions/_pqone" || missing+=" _pqone:$name"
    grep -q -- "-l $option\b" "$tree/shim/cli/completions/pqone.fish" || missing+=" pqone.fish:$name"
done
kinds=$(sed -n 's/^CHECK_OPTION(fail_on.*/KINDS/p; /^ *"leak, lost/{s/^ *"//;s/, separated.*//;s/,//g;p}' \
    "$tree/shim/cli/check_options.def" | sed 1d)
while IFS=' ' read -r own variable type; do
    tr -d '\\' <"$tree/shim/cli/pqone.1" | grep -Eq -- "^\.BR --$own.*$([ "$variable" = - ] || echo "PQONE_$variable")" ||
        missing+=" pqone.1:$own"
    grep -Eq -- "--$own( |$|')" "$tree/shim/cli/completions/pqone.bash" || missing+=" pqone.bash:$own"
    grep -q -- "'--$own[=[]" "$tree/shim/cli/completions/_pqone" || missing+=" _pqone:$own"
    grep -q -- "-n \$check -l $own " "$tree/shim/cli/completions/pqone.fish" || missing+=" pqone.fish:$own"
    [ "$type" != KINDS ] || for word in $kinds none; do
        for file in pqone.1 completions/pqone.bash completions/_pqone completions/pqone.fish; do
            grep -Eq "\b$word\b" "$tree/shim/cli/$file" || missing+=" $file:$word"
        done
    done
    checked="${checked-} $own"
done < <(sed -n 's/^CHECK_OPTION([a-z_]*, "\([a-z-]*\)", "\([A-Z_]*\)", \([A-Z]*\),.*/\1 \2 \3/p' \
    "$tree/shim/cli/check_options.def" | sed 's/  / - /')
check "the manual page and the completions know every setting, and every option of check" is "$missing" ''
check "... all of those" is "$(wc -w <<<"$checked")" "$(grep -c '^CHECK_OPTION(' "$tree/shim/cli/check_options.def")"
check "... of which there are some" [ "${option-}" ]

# complete_in_bash WORDS...: what bash offers for the last of them, with = a word of its own, as readline has it.
complete_in_bash() {
    bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _pqone pqone "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[*]}"' \
        "$tree/shim/cli/completions/pqone.bash" "$@"
}
check "bash completes formats" is "$(complete_in_bash pqone check --report '')" 'text json junit sarif github html'
check "... their files" is "$(complete_in_bash pqone report --report json = "$tree/Makef")" "$tree/Makefile"
check "... words of --fail-on" is "$(complete_in_bash pqone check --fail-on = le)" 'leak left'
check "... behind a comma too" is "$(complete_in_bash pqone check --fail-on leak,mi)" leak,misuse
check "... options behind an option with its value" is "$(complete_in_bash pqone check --fail-on = leak --bud)" --budget
check "... of run no option of check" is "$(complete_in_bash pqone run --bud)" ''
if command -v fish >/dev/null; then
    complete_in_fish() { fish --no-config -c "source $tree/shim/cli/completions/pqone.fish; complete -C '$1' | string split -f1 \t" | xargs; }
    check "fish completes formats" is "$(complete_in_fish 'pqone check --report ')" 'github html json junit sarif text'
    check "... words of --fail-on" is "$(complete_in_fish 'pqone check --fail-on le')" 'leak left'
    check "... behind a comma too" is "$(complete_in_fish 'pqone check --fail-on leak,mi')" leak,misuse
else
    echo "# skipped 3: there is no fish, whose completion these are of"
fi
if command -v zsh >/dev/null; then
    # Completion needs a terminal, which zpty gives it.
    complete_in_zsh() {
        HOME=$scratch timeout 60 zsh -f -c 'zmodload zsh/zpty; zpty z zsh -f -i; fpath_=$1 text= line=
            until_() { local i; for ((i = 0; i < 200; i++)); do while zpty -rt z line; do text+=$line; done
                [[ $text == *$~1* ]] && return; sleep 0.05; done; }
            zpty -w z "PS1=; fpath=($fpath_ \$fpath); autoload -Uz compinit; compinit -u -D; setopt no_list_beep; echo BE\"\"GUN"
            until_ BEGUN; text=
            zpty -w -n z "$2"$'"'\t'"'; until_ "$3"; print -r -- "$text"' zsh "$tree/shim/cli/completions" "$1" "$2" >zsh.out 2>&1
        grep -qF -- "$2" zsh.out || { cat -v zsh.out; return 1; }
    }
    check "zsh completes formats" complete_in_zsh 'pqone check --report=sa' '--report=sarif'
    check "... words of --fail-on, behind a comma too" complete_in_zsh 'pqone check --fail-on=leak,mi' 'leak,misuse'
else
    echo "# skipped 2: there is no zsh, whose completion these are of"
fi
if command -v man >/dev/null; then
    MANWIDTH=100 man --warnings -E UTF-8 -l "$tree/shim/cli/pqone.1" 2>manual.err | cat >manual
    check "the manual page is set without a warning" silent manual.err
    check "... and whole" says manual '^SEE ALSO'
    check "... without a request in its text" not says manual '(^| )\.[A-Z]{1,2} '
    misuses=$(sed -n 's/^MISUSE([A-Z_]*, "\([a-z-]*\)".*/\1/p' "$tree/shim/watch/misuse.def")
    for word in $misuses; do
        tr -d '\\' <"$tree/shim/cli/pqone.1" | grep -q -- "$word" || unsaid="${unsaid-} $word"
    done
    check "... with every misuse" is "${unsaid-}" ''
    check "... of which there are some" [ "$(wc -w <<<"$misuses")" -gt 5 ]
else
    echo "# skipped 5: there is no man, which would read the manual page"
fi

# --- what the shim cannot enter
run run -- ./static; check "a static program runs" is $status 4
check "... with a warning" says err 'static.* is statically linked'
check "... and no second line that libpq was never used" is "$(wc -l <err)" 1
run run --quiet -- ./static; check "--quiet alone does not hide the warning" says err 'statically linked'
run run --quiet --log none -- ./static; check "--quiet and --log none hide it" silent err
run run -- ./swallowed; check "libpq inside the program: started, with a warning" is $status 5
check "... that says so" says err 'libpq linked in statically'
printf '#!%s/static\n' "$scratch" >script && chmod 755 script
run run -- ./script; check "a script's interpreter is what counts" says err 'static.* is statically linked'
printf '#!/usr/bin/env -S X=1 %s/static\n' "$scratch" >script
run run -- ./script; check "... behind env too" says err 'static.* is statically linked'
cp "$(type -P true)" privileged
if [ "$(id -u)" = 0 ]; then
    chown 65534 privileged && chmod 4755 privileged
    run run -- ./privileged; check "a setuid program: a warning" says err 'privileged is setuid, so the loader ignores'
    check "... and nothing else" is "$(wc -l <err)" 1
    chown 0:0 privileged && chmod 4755 privileged
    run run -- ./privileged; check "setuid to oneself changes nothing: no warning" not says err setuid
    # As setcap would; root itself is exempt, so somebody else has to look.
    cp "$(type -P true)" capable
    if python3 -c 'import os, struct; os.setxattr("capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))'; then
        mkdir -m 700 nobody && chown 65534:65534 nobody && cp "$pqone" "$build/libpqone.so" capable nobody/
        python3 -c 'import os, struct; os.setxattr("nobody/capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))'
        chmod 755 . && PQONE_LEDGER_DIR=$scratch/nobody/ledgers setpriv --reuid=65534 --regid=65534 --clear-groups \
            nobody/pqone run -- nobody/capable 2>err
        check "a program with file capabilities: a warning" says err 'capable has file capabilities, so the loader ignores'
        chmod 700 .
    else
        echo "# skipped 1: this file system knows no file capabilities"
    fi
else
    echo "# skipped 3: only root can make a program that is setuid to another"
fi
cp "$(type -P true)" other && printf '\x28\x00' | dd of=other bs=1 seek=18 conv=notrunc 2>/dev/null
run run -- ./other; check "a program of another architecture: a warning" says err 'another architecture'
run run -- true; check "libpq never used: said" says err 'libpq was never used'

# --- streams
run run --quiet --log none -- sh -c 'echo out; echo err >&2'
check "quiet and log none: nothing of ours on stderr" is "$(cat err)" err
check "... and stdout is the program's alone" is "$(cat out)" out
check "stdin is the program's" is "$(echo hello | "$pqone" run --quiet -- cat)" hello
"$pqone" run -- sh -c 'echo hi >&2' 2>&- >out; check "closed stderr: the status is the program's" is $? $(sh -c 'echo hi >&2' 2>&- ; echo $?)
"$pqone" run --quiet -- sh -c 'for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n; done' >out 2>&- <&-
check "closed descriptors stay closed for the program" is "$(cat out)" 1
ls -l /proc/self/fd 2>/dev/null | wc -l >expected
"$pqone" run --quiet -- ls -l /proc/self/fd 2>/dev/null | wc -l >seen
check "no descriptor of ours reaches the program" is "$(cat seen)" "$(cat expected)"
"$pqone" run --quiet -- sh -c 'exec >&-; sleep 2; : >finished' | { cat; [ ! -e finished ]; }
check "who reads a stdout that the program closed does not wait for us" is $? 0

# --- signals
sh -c 'grep -E "^Sig(Blk|Ign)" /proc/self/status' >expected
run run --quiet -- grep -E '^Sig(Blk|Ign)' /proc/self/status
check "signal mask and dispositions are inherited" is "$(cat out)" "$(cat expected)"
python3 - "$pqone" <<'P' >out 2>err
import os, signal, subprocess, sys
def prepare():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
def look(*command):
    p = subprocess.Popen([*command, "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], stdout=subprocess.PIPE, preexec_fn=prepare)
    return p.communicate()[0], p.returncode
bare, ours = look(), look(sys.argv[1], "run", "--quiet", "--")
print(bare, ours)
sys.exit(0 if bare == ours else 1)
P
check "... also SIGCHLD and SIGHUP ignored, SIGUSR2 blocked" is $? 0
for name in HUP TERM USR1 USR2 WINCH INT QUIT ALRM; do
    rm -f out # or the last program's "ready" is taken for this one's
    env --default-signal=INT,QUIT "$pqone" run --quiet -- bash -c "trap 'echo got $name; exit 9' $name; echo ready; while :; do sleep 0.05; done" >out 2>err &
    launcher=$!
    until_true says out ready
    kill -$name $launcher
    wait $launcher; status=$?
    check "SIG$name sent to the launcher reaches the program" is "$status $(tail -n 1 out)" "9 got $name"
done
check "the socket is gone after signals" no_socket
python3 - "$pqone" <<'P' >out 2>err
# On a terminal of its own: ^C goes to the group, the program handles it once and lives; ^Z stops the job.
import os, pty, signal, sys, time
script = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *unused: print("int", flush=True))
print("ready", flush=True)
for i in range(400):
    time.sleep(0.05)
    if os.path.exists("stop"):
        sys.exit(5)
sys.exit(6)
"""
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["pqone", "run", "--quiet", "--", sys.executable, "-c", script])
seen = b""
def wait_for(text, seconds=10):
    global seen
    end = time.time() + seconds
    while text not in seen and time.time() < end:
        seen += os.read(terminal, 1000)
    assert text in seen, (text, seen)
wait_for(b"ready")
os.write(terminal, b"\x03")
wait_for(b"int\r\n")
open("stop", "w").close()
got, status = os.waitpid(pid, 0)
print(seen, status)
assert seen.count(b"int\r\n") == 1 and os.waitstatus_to_exitcode(status) == 5
P
check "^C on a terminal reaches the program once, and the launcher waits for it" is $? 0
rm -f stop
python3 - "$pqone" <<'P' >out 2>err
# As a shell with job control would see it: SIGTSTP to the group, both stopped; SIGCONT, both run again.
import os, signal, sys, time
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.execv(sys.argv[1], ["pqone", "run", "--quiet", "--", "sleep", "1.5"])
time.sleep(0.5)
os.killpg(pid, signal.SIGTSTP)
_, status = os.waitpid(pid, os.WUNTRACED)
assert os.WIFSTOPPED(status), status
os.killpg(pid, signal.SIGCONT)
_, status = os.waitpid(pid, 0)
assert status == 0, status
P
check "^Z stops the launcher with the program, and fg continues both" is $? 0
"$pqone" run --quiet -- sleep 30 >out 2>err &
launcher=$!
until_true has_child $launcher; program=$(child_of $launcher)
kill -STOP "$program"; until_true in_state "$program" T
check "a program stopped by somebody else does not stop the launcher" in_state $launcher S
kill -CONT "$program"; kill -TERM $launcher; wait $launcher
check "... and both end" is $? 143

# --- log lines
products=$(grep -n LINE-OF-PRODUCTS "$tree/tests/cli/scribe.c" | cut -d: -f1)
run run --quiet -- ./scribe ledger log exit
check "a log line names the source line" says err "^pqone\[1\] duplicate: opened at $tree/tests/cli/scribe.c:$products \(route_products\); again at an unknown place\$"
run run --quiet --log-format json -- ./scribe ledger json exit
check "a JSON line stays JSON" python3 -c '
import json, sys
line = json.loads(open("err").read())
want = "at '"$tree"'/tests/cli/scribe.c:'"$products"' (route_products)"
sys.exit(line != {"a": want, "b": want})'
run run --quiet --log "$scratch/log.%p" -- ./scribe ledger log exit
check "a log file per process" is "$(cat log.[0-9]* | wc -l)" 1
check "... keeps stderr silent" silent err
run run --quiet --log none -- ./scribe ledger log exit; check "--log none silences the lines" silent err
run run --quiet --log /nonexistent/log -- ./scribe ledger log log exit
check "a log that cannot be written: said once" is "$(grep -c 'cannot be written' err)" 1
check "... and its lines follow" is "$(grep -c duplicate err)" 2
run run --quiet -- ./scribe hostile exit
check "hostile messages end no launcher" is $status 0
check "... and steer no terminal" not grep -q $'\033' err

# --- summary and report
run run -- ./scribe ledger exit
check "the summary opens with its sentence" says err \
    '^pqone\[[0-9]+\] scribe: 3 handles opened, peak 2 alive, peak 1 busy at once: 1 connection would have done\. 1 unfinished, 2 duplicates at 1 call site\.$'
check "... names the place of the duplicates" says err "^ +2  $tree/tests/cli/scribe.c:$products \(route_products\)"
check "... and of the unfinished handle, with age and last use" says err "1  $tree/tests/cli/scribe.c:$products \(route_products\): app@db.local:5432/shop, [0-9a-z.]+ old, last used [0-9a-z.]+ before the end\$"
run run -- ./scribe ledger kill
check "after SIGKILL: the summary is there, and names the signal" says err 'was killed by SIGKILL$'
check "... and the status is the signal's" is $status 137
run run -- ./scribe ledger leave; check "after _exit too" says err 'the process left by _exit'
check "... and no signal is blamed" not says err killed
run run -- sh -c './scribe ledger kill; exit 0'
check "a grandchild's end nobody knows" says err 'was killed by a signal or left by _exit'
run run --report json -- ./scribe ledger kill; check "the JSON report names the signal" says err '"signal": "SIGKILL"'
run run -- ./scribe ledger exec ./scribe ledger kill
check "an image before an exec was replaced" is "$(grep -c 'was replaced by exec' err)" 1
check "... and only the one behind it was killed" is "$(grep -c 'killed by SIGKILL' err)" 1
PQONE_RUN=none ./scribe ledger exec sleep 30 & program=$!
until_true runs $program sleep
run report $program; check "a living process that runs something else by now was replaced" says out 'was replaced by exec'
check "... so what it left is unfinished" says out '1 unfinished'
kill $program
PQONE_RUN=none ./scribe ledger wait & program=$!
reports() { run report "$1"; says out "$2"; }
check "one that still runs is not finished yet" until_true reports $program '1 not finished yet'
mv scribe renamed
run report $program; check "... nor when its file has another name by now" says out '1 not finished yet'
mv renamed scribe
kill $program
run run -- sh -c './scribe ledger exit; ./scribe ledger exit'
check "two processes: a line over both" says err '^pqone: 2 processes: 6 handles opened'
check "... and a block each" is "$(grep -c '^pqone\[' err)" 2
check "no colour in a file" not grep -q $'\033' err
rm -f "$PQONE_LEDGER_DIR"/*
run run --quiet --report json=report.json --report text=report.txt -- ./scribe ledger exit
check "--report with files, and --quiet: stderr is silent" silent err
check "... the text is there" says report.txt '3 handles opened'
check "... the JSON too" python3 -c '
import json
report = json.load(open("report.json"))
assert report["pqone_report"] == 1
process, = report["processes"]
assert process["counters"]["handles_opened"] == 3 and process["connections_needed"] == 1
assert process["sites"][0]["frames"][0]["line"] == '"$products"', process["sites"]
assert process["handles"][0]["target"] == "app@db.local:5432/shop"'
ledger=$(echo "$PQONE_LEDGER_DIR"/*.ledger)
echo old >kept.json; run run --quiet --report json=new.json --report json=kept.json -- ./not-there
check "a program that cannot start leaves no report" [ ! -e new.json ]
check "... and an older one as it was" is "$(cat kept.json)" old
mkfifo report.pipe && { timeout 10 cat report.pipe >piped & }
run run --quiet --report json=report.pipe -- ./scribe exit; wait $!
check "a report into a pipe" says piped '"pqone_report": 1'
run report "$ledger"; check "report prints it again" says out '3 handles opened, peak 2 alive'
check "... and succeeds" is $status 0
pid=$(basename "$ledger" | cut -d- -f1)
run report "$pid"; check "report finds a ledger by pid" says out "^pqone\[$pid\] scribe:"
run report --report json "$pid"; check "report as JSON" python3 -c 'import json; json.load(open("out"))'
cp scribe scribe.new && printf 'x' >>scribe.new && strip -o scribe.new scribe && objcopy --remove-section .note.gnu.build-id scribe.new
mv scribe scribe.kept && mv scribe.new scribe
run report "$ledger"; check "a program replaced since: no wrong line" not says out "scribe.c:$products"
check "... but what the process noted, and that it was replaced" says out 'noted\+0x1 \(scribe, replaced on disk since\)'
mv scribe.kept scribe
head -c 3000 "$ledger" >short.ledger; run report short.ledger; check "a truncated ledger: 125" is $status 125
check "... said" says err 'short.ledger is truncated'
head -c 5000 /dev/urandom >random.ledger; run report random.ledger; check "random bytes: 125" is $status 125
check "... said" says err 'random.ledger is not a ledger'
cp "$ledger" newer.ledger && printf '\x63' | dd of=newer.ledger bs=1 seek=8 conv=notrunc 2>/dev/null
run report newer.ledger; check "another version: 125" is $status 125
check "... said" says err 'of version 99'
: >empty.ledger; run report empty.ledger; check "an empty file: 125" is $status 125
mkfifo pipe.ledger; timeout 5 "$pqone" report pipe.ledger 2>err; check "a pipe is not waited for" is $? 125
run report random.ledger "$ledger"; check "one bad file among good: 125" is $status 125
check "... and the good one is printed" says out '3 handles opened'
run run --report json=alone.json -- ./scribe ledger exit; check "a report in a file alone: no summary" silent err
run run --report json=- -- sh -c 'echo before; ./scribe ledger exit'
check "a report on - is on standard output, behind the program's own" is "$(head -n 2 out | xargs)" "before {"
check "... and not on standard error" silent err
run report --report json=- "$ledger"; check "... of report too" says out '"pqone_report": 1'
run run --report text --report json=alone.json -- ./scribe ledger exit; check "... with text: both" says err '3 handles opened'

# --- the place of the ledgers
rm -rf "${PQONE_LEDGER_DIR:?}"/*
for number in $(seq 70); do : >"$PQONE_LEDGER_DIR/999999$number-1-0.ledger"; done
: >"$PQONE_LEDGER_DIR/99999990-1.sock"
: >"$PQONE_LEDGER_DIR/notes.txt"
touch -d '2 days ago' "$PQONE_LEDGER_DIR/9999991-1-0.ledger" "$PQONE_LEDGER_DIR/notes.txt"
mine=$PQONE_LEDGER_DIR/$$-$(awk '{print $22}' /proc/$$/stat)-0.ledger
touch -d '9 days ago' "$mine"
run run --quiet -- true
check "at most 64 ledgers of dead processes stay" is "$(ls "$PQONE_LEDGER_DIR" | grep -c '^999999.*ledger')" 64
check "an old one goes" [ ! -e "$PQONE_LEDGER_DIR/9999991-1-0.ledger" ]
check "a living process's stays" [ -e "$mine" ]
check "so does what is not ours" [ -e "$PQONE_LEDGER_DIR/notes.txt" ]
check "a dead launcher's socket goes" no_socket
mkdir -m 755 open
PQONE_LEDGER_DIR=$scratch/open "$pqone" run -- sh -c 'exit 6' 2>err; check "a directory open to others: the program still runs" is $? 6
check "... and it is said" says err 'open.*no summary'
PQONE_LEDGER_DIR=$scratch/open "$pqone" run --quiet --log none -- true 2>err; check "... unless silent" silent err

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
