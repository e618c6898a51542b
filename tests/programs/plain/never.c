/* never.c: a program without libpq; says whether anything brought libpq in. */
#include <stdio.h>
#include <string.h>

int main(void) {
    char line[1024];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        found += strstr(line, "libpq.so") != NULL;
    puts(found ? "libpq is mapped" : "no libpq");
    return 0;
}
