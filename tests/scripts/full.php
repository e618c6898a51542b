<?php
// The limit leaves 1.4 MB, which is less than PHP takes from the system at once, and nearly every page that it
// has is in use: there are no frames, and no "Allowed memory size exhausted" that the script alone would not get.
file_put_contents(getenv("PROBE_TRUTH"), "= native running\n");
$kept = array_fill(0, 2000, null);
$used = 0;
function fill_block() {
    global $kept, $used;
    $real = memory_get_usage(true);
    for ($pages = 0; memory_get_usage(true) == $real; $pages++)
        $kept[$used++] = str_repeat("x", 4000);
    return $pages;
}
function deep($depth) {
    return $depth ? deep($depth - 1) : usleep(0);
}
fill_block();
$pages = fill_block();
ini_set("memory_limit", (string)(memory_get_usage(true) + 1400000));
for ($i = 0; $i < $pages - 4; $i++)
    $kept[$used++] = str_repeat("x", 4000);
deep(60);
