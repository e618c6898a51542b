# scripts.sh: what the test scripts in shell share: cases, comparisons, and how the shim is put in.
# Needs the environment of tests/cluster. B is the build directory.
set -u
build=$(realpath "${B:-build}")
pqone=$build/pqone
preload="${PQONE_TEST_RUNTIME:+$PQONE_TEST_RUNTIME }$build/libpqone.so"
scratch=$(mktemp -d "$PQONE_TEST_DIR/scripts.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
ledgers=$scratch/ledgers
mkdir -m 700 "$ledgers"
export PQONE_LEDGER_DIR=$ledgers

ok() { echo "ok - $1"; }
# not_ok SENTENCE DETAIL: detail is what was expected and what came.
not_ok() {
    echo "not ok - $1"
    printf '%s\n' "$2" | head -n 40 | sed 's/^/    # /'
}
skip() { echo "skip - $1"; }

# equal SENTENCE WANTED GOT
equal() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1" "expected: $2
came: $3"
    fi
}
# contains SENTENCE PATTERN TEXT: an extended regular expression on one line.
contains() {
    if grep -Eq -- "$2" <<<"$3"; then
        ok "$1"
    else
        not_ok "$1" "expected a line like: $2
came: $3"
    fi
}
# lacks SENTENCE PATTERN TEXT
lacks() {
    if grep -Eq -- "$2" <<<"$3"; then
        not_ok "$1" "expected no line like: $2
came: $3"
    else
        ok "$1"
    fi
}
sql() { env -u LD_PRELOAD psql -XAtq -U owner -d "${2:-shop}" -c "$1"; }
