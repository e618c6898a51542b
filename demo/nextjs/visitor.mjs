// Visits the shop: starts `next dev`, loads the front page, edits lib/db.ts six times with requests after each
// edit, and ends what it started. In the application's directory: visitor.mjs LOG COMMAND...
// Prints "requests N failed N instances N", and the first failures on standard error.
import { spawn } from "node:child_process";
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [log, ...command] = process.argv.slice(2);
const edits = 6;
const patience = 60_000; // milliseconds; who waits longer for a page has gone
const module = "lib/db.ts";
const pristine = readFileSync(module, "utf8");

// A group of its own, because `next dev` has children, and all of them have to go.
const server = spawn(command[0], command.slice(1), { detached: true, stdio: ["ignore", "pipe", "pipe"] });
const ended = new Promise((resolve) => server.on("close", resolve).on("error", resolve));
function tell(signal) {
    try {
        process.kill(-server.pid, signal);
    } catch {
        // Nobody of the group is left.
    }
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
process.on("exit", () => tell("SIGKILL"));

let output = "";
writeFileSync(log, "");
for (const stream of [server.stdout, server.stderr])
    stream.on("data", (text) => {
        output += text;
        appendFileSync(log, text);
    });

async function address() {
    for (let tries = 0; tries < 600; tries++) {
        const found = output.match(/https?:\/\/(?:localhost|127\.0\.0\.1):\d+/);
        if (found && output.includes("Ready")) return found[0];
        if (server.exitCode !== null) break;
        await sleep(100);
    }
    console.error(`next dev did not start:\n${output}`);
    process.exit(1);
}

// What a route wants is what its file says.
const routes = readdirSync("app/api", { recursive: true })
    .filter((file) => file.endsWith("route.ts"))
    .sort()
    .map((file) => {
        const text = readFileSync(`app/api/${file}`, "utf8");
        return { name: file.slice(0, -"/route.ts".length), method: text.match(/function (\w+)/)[1], wantsId: text.includes('"id"') };
    });
const parts = [...readFileSync("app/parts.ts", "utf8").matchAll(/"(.+)"/g)].map((found) => found[1]);
const onPage = routes.filter((route) => parts.includes(route.name));
const others = routes.filter((route) => !parts.includes(route.name));

let requests = 0;
let failed = 0;
function failure(name, why) {
    if (++failed <= 3) console.error(`    failed: ${name}, ${why}`);
}

// A wrong answer is a failed request too: whoever asks for number 7 gets number 7.
async function request({ name, method, wantsId }) {
    const id = 1 + (requests++ % 10);
    try {
        const answer = await fetch(`${base}/api/${name}${wantsId ? `?id=${id}` : ""}`, { method, signal: AbortSignal.timeout(patience) });
        if (answer.status !== 200) return failure(name, `status ${answer.status}`);
        const body = await answer.json();
        if (wantsId && [body].flat().some((row) => row.id !== id)) failure(name, `the answer is not of number ${id}`);
    } catch (error) {
        failure(name, error.cause?.message ?? error.message);
    }
}

async function visit() {
    requests++;
    const page = await fetch(base, { signal: AbortSignal.timeout(patience) }).catch((error) => error);
    if (page.status !== 200) failure("page", page.status ?? page.message);
    else await page.text();
    await Promise.all(onPage.map(request));
    for (let next = 0; next < others.length; next += 6) await Promise.all(others.slice(next, next + 6).map(request));
}

const base = await address();
try {
    await visit();
    for (let edit = 1; edit <= edits; edit++) {
        writeFileSync(module, `${pristine}// edit ${edit}\n`);
        // The bundler learns of an edit from the file system, a moment later.
        await sleep(500);
        await visit();
    }
} finally {
    writeFileSync(module, pristine);
}
console.log(`requests ${requests} failed ${failed} instances ${output.split(`${module}: a database client`).length - 1}`);

tell("SIGTERM");
await Promise.race([ended, sleep(10_000)]);
process.exit(0);
