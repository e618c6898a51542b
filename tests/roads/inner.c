/* inner.c: a library that is found by its user's RUNPATH alone. */
int inner_answer(void);

int inner_answer(void) {
    return 42;
}
