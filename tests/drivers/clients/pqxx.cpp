// libpqxx: six connections; transactions, parameters, a table stream each way, a pipeline, a cursor, errors,
// a notification.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <pqxx/pqxx>
#include <pqxx/stream_from>
#include <pqxx/stream_to>
#include <string>
#include <tuple>
#include <vector>

namespace {
class receiver : public pqxx::notification_receiver {
  public:
    using pqxx::notification_receiver::notification_receiver;
    void operator()(std::string const &payload, int) override {
        std::cout << "notified: " << payload << '\n';
    }
};

void talk(pqxx::connection &conn, int i) {
    {
        pqxx::work work{conn};
        auto row = work.exec_params1("SELECT $1::text, $2::int", "handle " + std::to_string(i), i * 7);
        std::cout << row[0].c_str() << ' ' << row[1].as<int>() << '\n';
        if (i == 0) { // what may call nextval keeps its connection
            pqxx::stream_to out{work, "copied", std::vector<std::string>{"owner", "name"}};
            for (int j = 0; j < 1000; j++)
                out << std::make_tuple(i, "line " + std::to_string(j));
            out.complete();
        }
        work.commit();
    }
    {
        pqxx::work work{conn};
        pqxx::pipeline pipeline{work};
        pipeline.retain(4);
        std::vector<pqxx::pipeline::query_id> asked;
        for (int j = 0; j < 12; j++)
            asked.push_back(pipeline.insert("SELECT '" + std::to_string(i) + "/" + std::to_string(j) + "'"));
        pipeline.complete();
        int right = 0;
        for (int j = 0; j < 12; j++)
            right += pipeline.retrieve(asked[j])[0][0].as<std::string>() ==
                     std::to_string(i) + "/" + std::to_string(j);
        std::cout << "by a pipeline: " << right << '\n';
    }
    {
        pqxx::work work{conn};
        pqxx::icursorstream steps{work, "SELECT name FROM copied", "steps", 300};
        pqxx::result rows;
        int count = 0;
        while (steps >> rows)
            count += static_cast<int>(rows.size());
        std::cout << "by a cursor: " << count << '\n';
    }
    try {
        pqxx::work work{conn};
        work.exec("UPDATE kept SET name = 'never seen' WHERE owner = " + std::to_string(i));
        work.exec("SELECT 1 / 0");
    } catch (pqxx::sql_error const &error) {
        std::cout << error.sqlstate() << ' ' << error.what();
    }
    pqxx::nontransaction plain{conn};
    std::cout << plain.exec1("SELECT name FROM kept WHERE owner = " + std::to_string(i))[0].c_str() << '\n';
}
} // namespace

int main() {
    std::vector<std::unique_ptr<pqxx::connection>> connections;
    for (int i = 0; i < 6; i++)
        connections.push_back(std::make_unique<pqxx::connection>(""));
    pqxx::nontransaction{*connections[0]}.exec0("DELETE FROM copied");
    for (int i = 0; i < 6; i++)
        talk(*connections[i], i);
    if (std::system(std::getenv("BACKENDS")) != 0)
        return 1;

    receiver listener{*connections[1], "drivers"};
    pqxx::nontransaction{*connections[2]}.exec0("NOTIFY drivers, 'across'");
    std::cout << "waited for: " << connections[1]->await_notification(20, 0) << '\n';
}
