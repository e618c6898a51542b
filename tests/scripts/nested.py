"""Python runs a perl inside itself: whoever is innermost asked."""
import ctypes, os, sys

perl = ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
perl.perl_alloc.restype = ctypes.c_void_p
one = ctypes.c_void_p(perl.perl_alloc())
perl.perl_construct(one)
words = (ctypes.c_char_p * 4)(b"perl", b"-e", b"sub ask { getppid(); 1 } ask();", None)
perl.perl_parse(one, None, 3, words, None)


def run():
    perl.perl_run(one)


os.getppid()
run()
os.getppid()
