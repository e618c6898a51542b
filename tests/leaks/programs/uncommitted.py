"""Writes and closes without commit: what it wrote is gone."""
import psycopg2


def save():
    connection = psycopg2.connect("dbname=shop user=app")
    connection.cursor().execute("CREATE TABLE never_there (id int)")
    connection.close()


save()
