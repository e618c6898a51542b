/* static.c: linked with -static, so that nothing can be preloaded into it. */
#include <stdio.h>

int main(void) {
    puts("static");
    return 0;
}
