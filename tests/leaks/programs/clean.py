"""Opens, commits, closes."""
import psycopg2

for number in range(5):
    with psycopg2.connect("dbname=shop user=app") as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", (number,))
    connection.close()
