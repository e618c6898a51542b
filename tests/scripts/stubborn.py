"""One thread connects with the extension's lock held, the other waits for that lock with the GIL held."""
import ctypes, sys, threading, time

results = []


def connect():
    results.append(ctypes.CDLL(sys.argv[1]).connect_locked(b"dbname=shop"))


thread = threading.Thread(target=connect)
thread.start()
time.sleep(0.1)
ctypes.PyDLL(sys.argv[1]).pass_lock()
thread.join()
sys.exit(results[0])
