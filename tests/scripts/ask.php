<?php
// Asks for its own frames, and writes down what PHP itself says they are.
function own() {
    $trace = debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS);
    $text = "= php running\n";
    foreach ($trace as $i => $frame) {
        if (!isset($frame["file"]))
            continue;
        $by = $trace[$i + 1] ?? [];
        $text .= "$frame[file]\t$frame[line]\t" . ($by["class"] ?? "") . ($by["type"] ?? "") . ($by["function"] ?? "") . "\n";
    }
    file_put_contents(getenv("PROBE_TRUTH"), $text, FILE_APPEND);
}
class Pool {
    function connect() { own(); usleep(0); }
    static function make() { own(); usleep(0); }
}
function deep($depth) {
    if ($depth) return deep($depth - 1);
    own(); usleep(0);
}
function generator() { own(); usleep(0); yield 1; }
(new Pool)->connect();
Pool::make();
deep(20);
array_map(function ($x) { own(); usleep(0); }, [1]);
foreach (generator() as $x);
eval("own(); usleep(0);");
try {
    throw new Exception("kept");
} catch (Exception $error) {
    own(); usleep(0);
} finally {
    own(); usleep(0);
}
// With no memory to spare there are no frames, and no "Allowed memory size exhausted" either.
ini_set("memory_limit", (string)(memory_get_usage(true) + 200000));
file_put_contents(getenv("PROBE_TRUTH"), "= native running\n", FILE_APPEND);
usleep(0);
ini_set("memory_limit", "128M");
register_shutdown_function(function () { own(); usleep(0); });
