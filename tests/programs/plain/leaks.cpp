// leaks.cpp: a C++ program that leaks in the way it is asked for: leaks KIND.
#include <libpq-fe.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

const char *const target = "dbname=shop user=app";

// Finishes what it holds, as a class should.
class Session {
  public:
    explicit Session(const std::string &conninfo) : handle(connect(conninfo)) { ask("SELECT 1"); }
    virtual ~Session() { PQfinish(handle); }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    void ask(const char *query) { PQclear(PQexec(handle, query)); }
    std::shared_ptr<Session> parent, child;

  private:
    __attribute__((noinline)) static PGconn *connect(const std::string &conninfo) {
        PGconn *handle = PQconnectdb(conninfo.c_str()); // SESSION
        if (PQstatus(handle) != CONNECTION_OK)
            throw std::runtime_error("no connection"); // and the handle stays behind
        return handle;
    }
    PGconn *handle;
};

// Has no virtual destructor: who deletes one through it does not run the derived one's.
struct Resource {
    int uses = 0;
};
struct Connection : Resource {
    PGconn *handle = nullptr;
    __attribute__((noinline)) void open() { handle = PQconnectdb(target); } // CONNECTION
    ~Connection() { PQfinish(handle); }
};

std::unique_ptr<Session> global; // destroyed while the process exits

void at_exit() {
    global = std::make_unique<Session>(target);
}

__attribute__((noinline)) void parse(const std::string &text) {
    if (text.empty())
        throw std::invalid_argument("empty");
}

__attribute__((noinline)) void import(const std::string &text) {
    PGconn *handle = PQconnectdb(target); // IMPORT
    parse(text);
    PQfinish(handle);
}

void exception() {
    for (const char *text : {"", "good", ""})
        try {
            import(text);
        } catch (const std::invalid_argument &) {
        }
}

void cycle() {
    auto parent = std::make_shared<Session>(target);
    parent->child = std::make_shared<Session>(target);
    parent->child->parent = parent;
}

void failed() {
    try {
        Session session("host=/nowhere dbname=shop");
    } catch (const std::runtime_error &) {
    }
}

void base() {
    auto connection = std::make_unique<Connection>();
    connection->open();
    std::unique_ptr<Resource> resource(connection.release());
}

void clean() {
    std::vector<std::unique_ptr<Session>> pool;
    pool.push_back(std::make_unique<Session>(target));
    pool.clear();
    Session session(target);
}

} // namespace shop

// What a function left in registers and on the stack is no pointer of the program's any more.
__attribute__((noinline)) static void wipe_stack() {
    volatile char dirt[16384];
    std::memset(const_cast<char *>(dirt), 0, sizeof dirt);
}

int main(int count, char **words) {
    static const struct {
        const char *name;
        void (*leak)();
    } kinds[] = {{"at_exit", shop::at_exit}, {"exception", shop::exception}, {"cycle", shop::cycle},
                 {"failed", shop::failed},   {"base", shop::base},           {"clean", shop::clean}};
    for (const auto &kind : kinds)
        if (count == 2 && kind.name == std::string(words[1])) {
            kind.leak();
            wipe_stack();
            return 0;
        }
    std::cerr << "leaks: at_exit, exception, cycle, failed, base or clean?\n";
    return 2;
}
