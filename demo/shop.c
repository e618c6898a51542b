/* shop.c: the README's example: two modules of a program that each make a client, and one forgets it. */
#include <libpq-fe.h>
#include <stdio.h>

static PGconn *route_brands(void) {
    return PQconnectdb("dbname=shop");
}

static PGconn *route_products(void) {
    return PQconnectdb("dbname=shop");
}

int main(void) {
    PGconn *brands = route_brands(), *products = route_products();
    PQclear(PQexec(brands, "SELECT 1"));
    PQclear(PQexec(products, "SELECT 2"));
    PQfinish(products);
    return 0; /* brands is forgotten */
}
