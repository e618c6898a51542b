// refuse.cpp: asks Poco for a session that the server refuses, three times, and handles the error each time.
#include <Poco/Data/PostgreSQL/Connector.h>
#include <Poco/Data/Session.h>
#include <Poco/Exception.h>
#include <iostream>

static int refused;

static void ask(const std::string &conninfo) {
    try {
        Poco::Data::Session session(Poco::Data::PostgreSQL::Connector::KEY, conninfo);
    } catch (const Poco::Exception &) {
        refused++;
    }
}

int main(int count, char **arguments) {
    Poco::Data::PostgreSQL::Connector::registerConnector();
    for (int i = 0; i < 3; i++)
        ask(count > 1 ? arguments[1] : "host=/nowhere");
    Poco::Data::PostgreSQL::Connector::unregisterConnector();
    std::cout << refused << " refused\n";
    return refused == 3 ? 0 : 1;
}
