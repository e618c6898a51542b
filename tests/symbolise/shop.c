/* shop.c: opens connections from functions that a compiler inlines, one in another, and from one that it does
 * not. The markers are lines that tests/symbolise/run looks for. */
#include <stdlib.h>

typedef struct pg_conn PGconn;
PGconn *PQconnectdb(const char *conninfo);
PGconn *volatile opened[4];
PGconn *route_brands(void);

__attribute__((always_inline)) static inline PGconn *db_connect(const char *name) {
    return PQconnectdb(name); /* IN-DB-CONNECT */
}

__attribute__((always_inline)) static inline PGconn *products_pool(void) {
    PGconn *handle = db_connect("dbname=products"); /* IN-PRODUCTS-POOL */
    opened[1] = handle;
    return handle;
}

__attribute__((noinline)) static void route_products(void) {
    opened[0] = products_pool(); /* IN-ROUTE-PRODUCTS */
}

__attribute__((noinline)) PGconn *route_brands(void) {
    opened[2] = PQconnectdb("dbname=brands"); /* IN-ROUTE-BRANDS */
    return opened[2];
}

/* Called by the C library, from its own code. */
static int compare(const void *one, const void *other) {
    opened[3] = route_brands(); /* IN-COMPARE */
    return *(const int *)one - *(const int *)other;
}

int main(void) {
    int numbers[] = {2, 1};
    route_products();              /* IN-MAIN */
    qsort(numbers, 2, 4, compare); /* IN-SORT */
    return 0;
}
