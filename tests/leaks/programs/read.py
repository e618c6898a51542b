"""Reads and closes without commit, as psycopg2 programs do every day."""
import psycopg2

connection = psycopg2.connect("dbname=shop user=app")
connection.cursor().execute("SELECT 1")
connection.close()
