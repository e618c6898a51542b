// Asks on the thread that runs JavaScript, and in libuv's pool, where an asynchronous connect runs.
const fs = require("fs");
process.ppid;
fs.mkdtemp(process.argv[2], () => process.ppid);
