"""Asks for its own frames in many positions, and writes down what Python itself says they are."""
import atexit, ctypes, os, sys, threading, signal

truth = os.open(os.environ["PROBE_TRUTH"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
probe = ctypes.CDLL(None)  # gives the GIL away while it calls
keeping = ctypes.PyDLL(None)  # keeps it


def own(most=64, frame_of=sys._getframe, write=os.write, truth=truth):
    frame = frame_of(1)
    text = "= python running\n"
    for _ in range(most):
        if frame is None:
            break
        code = frame.f_code
        text += "%s\t%d\t%s\n" % (code.co_filename, frame.f_lineno, getattr(code, "co_qualname", code.co_name))
        frame = frame.f_back
    write(truth, text.encode())


class Pool:
    def connect(self):
        own(); probe.getppid()
        own(); keeping.getppid()
        own(); os.getppid()


def deep(depth):
    if depth:
        return deep(depth - 1)
    own(); probe.getppid()


def generator():
    own(); probe.getppid()
    yield 1


Pool().connect()
deep(20)
deep(200)
for _ in generator():
    pass
[(own(), probe.getppid()) for _ in range(1)]
(lambda: (own(), probe.getppid()))()
exec("own(); probe.getppid()")
exec(compile("def gru\u00df(): own(); probe.getppid()\ngru\u00df()", "/tmp/\u00e9t\u00e9/\u65e5\u672c.py", "exec"))
exec(compile("own(); probe.getppid()", "/tmp/\U0001f600/x.py", "exec"))
try:
    raise ValueError("kept")
except ValueError as error:
    own(); keeping.getppid()
    assert str(error) == "kept" and sys.exc_info()[1] is error

thread = threading.Thread(target=Pool().connect)
thread.start()
thread.join()

os.write(truth, b"= native idle\n")
probe.ask_in_thread()


def handler(*_):
    own(); probe.getppid()


signal.signal(signal.SIGUSR1, handler)
os.kill(os.getpid(), signal.SIGUSR1)

child = os.fork()
if child == 0:
    own(); probe.getppid()
    os._exit(0)
os.waitpid(child, 0)


# Whoever asks holds a lock that a thread with the GIL waits for.
def ask_with_lock():
    own(); probe.hold_while(1)


thread = threading.Thread(target=ask_with_lock)
thread.start()
import time
time.sleep(0.1)
keeping.hold_while(0)
thread.join()


probe.jump_out()
own(); probe.getppid()


@atexit.register
def late():
    own(); probe.getppid()


class Last:
    def __del__(self, own=own, probe=probe):
        own(); probe.getppid()


probe.time_of_asking.restype = ctypes.c_long
if os.environ.get("PROBE_TIME"):
    def at(depth):
        return at(depth - 1) if depth else probe.time_of_asking()
    print("python %s: a question takes %d ns with 3 frames, %d ns with 16" % (sys.version.split()[0], at(2), at(15)), file=sys.stderr)

last = Last()
