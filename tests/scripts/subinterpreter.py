"""Asks from a subinterpreter, whose frames nobody promises: what is found is this interpreter's, or nothing."""
import os

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

one = interpreters.create()
interpreters.run_string(one, """
import os
def inner():
    os.getppid()
inner()
""")
interpreters.destroy(one)


def after():
    os.getppid()


after()
