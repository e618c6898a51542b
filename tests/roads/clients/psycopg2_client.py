"""Three connections at once by psycopg2."""
import psycopg2

open_ones = [psycopg2.connect("application_name=roads-%d" % i) for i in range(3)]
for i, conn in enumerate(open_ones):
    cursor = conn.cursor()
    cursor.execute("SELECT %s * 7, current_setting('application_name')", [i])
    print(cursor.fetchone())
for conn in open_ones:
    conn.close()
