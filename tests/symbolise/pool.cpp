// pool.cpp: connections opened from a template's member, a lambda, an anonymous namespace, a thread, and the
// destructor of a static object. The markers are lines that tests/symbolise/run looks for.
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct pg_conn;
extern "C" pg_conn *PQconnectdb(const char *conninfo);
extern "C" void PQfinish(pg_conn *);

namespace shop {
template <typename Key> struct Pool {
    std::vector<pg_conn *> handles;
    __attribute__((noinline)) void open(const Key &name);
    ~Pool();
};

template <typename Key> void Pool<Key>::open(const Key &name) {
    handles.push_back(PQconnectdb(name.c_str())); // IN-POOL-OPEN
}

template <typename Key> Pool<Key>::~Pool() {
    handles.push_back(PQconnectdb("dbname=late")); // IN-DESTRUCTOR
}

namespace {
__attribute__((noinline)) void warm_up(Pool<std::string> &pool) {
    pool.handles.push_back(PQconnectdb("dbname=warm")); // IN-WARM-UP
}
} // namespace
} // namespace shop

static shop::Pool<std::string> pool;

int main() {
    pool.open("dbname=template"); // IN-MAIN
    auto lambda = [](const char *name) __attribute__((noinline)) {
        pool.handles.push_back(PQconnectdb(name)); // IN-LAMBDA
    };
    lambda("dbname=lambda"); // IN-CALL-OF-LAMBDA
    shop::warm_up(pool); // IN-CALL-OF-WARM-UP
    std::thread([] { pool.open("dbname=thread"); }).join(); // IN-THREAD
    return 0;
}
