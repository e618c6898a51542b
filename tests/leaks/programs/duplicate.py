"""Thirty routes that each make a client, and close it when the program ends."""
import atexit

import psycopg2

clients = []


def route(number):
    clients.append(psycopg2.connect("dbname=shop user=app"))


def close_all():
    for client in clients:
        client.close()


atexit.register(close_all)
for number in range(30):
    route(number)
