// scene.js: what the timeline shows now: which handles, what time, which rows, and where that is on the canvas.
const source = document.getElementById('timeline-data');
const stage = document.getElementById('stage');
const data = source ? JSON.parse(source.textContent) : null;
const all = data ? lanes.read(data) : [];
const canvas = stage?.querySelector('canvas'), pen = canvas?.getContext('2d');
const card = document.getElementById('card'), spoken = document.getElementById('spoken');
const $ = id => document.getElementById(id);

const AXIS = 24, COUNTS = 104, GAP = 12, CAP = 14, HEAD = 19, FEW = 60;
const length = Math.max(data?.length ?? 1, 1);
const filter = { site: -1, target: -1, words: '', bad: false };
const dark = matchMedia('(prefers-color-scheme: dark)'), printed = matchMedia('print');
let inks, ranks, groups, shown, curves, packed;
let width = 0, height = 0, gutter = 0, scale = 1;
let view = { begin: 0, end: length }, rows = { height: 18, top: 0, fit: 18 };
let chosen = null, hovered = null, pointer = null, kept = false, grip = null, waiting = false;

/* What is shown. */

const rankSites = () => {
    const counts = new Array(data.sites.length).fill(0);
    for (const handle of all) if (handle.site >= 0) counts[handle.site]++;
    const order = counts.map((count, site) => ({ count, site })).filter(one => one.count).sort((a, b) => b.count - a.count);
    ranks = new Array(data.sites.length).fill(colours.count);
    order.forEach(({ site }, rank) => { ranks[site] = rank; });
    return order;
};
const rankOf = handle => (handle.site >= 0 ? ranks[handle.site] : colours.count);

const dip = () => {
    const name = property => colours.named(property);
    const scheme = !printed.matches && dark.matches;
    inks = {
        sites: Array.from({ length: colours.count + 1 }, (_, rank) => colours.of(rank, scheme)),
        ink: name('--ink'), soft: name('--soft'), faint: name('--faint'), line: name('--line'), card: name('--card'),
        alive: name('--alive'), fill: name('--alive-fill'), busy: name('--busy'), lost: name('--lost'), held: name('--held'),
        focus: name('--focus'), hover: name('--hover'),
    };
};
const coat = handle => inks.sites[Math.min(rankOf(handle), colours.count)];

const matches = handle => {
    if (filter.site >= 0 && handle.site !== filter.site) return false;
    if (filter.target >= 0 && handle.target !== filter.target) return false;
    if (filter.bad && !handle.outcome.bad) return false;
    return !filter.words || (data.sites[handle.site]?.search ?? '').includes(filter.words);
};

const choose = () => {
    shown = all.filter(matches);
    packed = shown.length > FEW;
    groups = lanes.arrange(shown, data.processes, packed, site => ranks[site] ?? Infinity, length / 400);
    curves = lanes.curves(shown, data.processes);
    if (chosen && !matches(chosen)) chosen = null;
    hovered = null;
    $('shown').textContent = shown.length === all.length ? '' : `${shown.length} of ${all.length} handles`;
    resize();
};

/* Where it is. */

const head = () => (groups.length > 1 ? Math.min(HEAD, Math.max(1, rows.height * 1.6)) : 0);
const top = () => AXIS + COUNTS + GAP;
const room = () => height - top() - 6;
const tall = () => groups.reduce((sum, group) => sum + head() + group.count * rows.height, 0);
const x = time => gutter + (time - view.begin) / (view.end - view.begin) * (width - gutter - CAP);
const timeAt = px => view.begin + (px - gutter) / (width - gutter - CAP) * (view.end - view.begin);

// Rows are as high as fits the screen, and no higher than is pleasant.
const fit = space => {
    const count = groups.reduce((sum, group) => sum + group.count, 0), heads = groups.length > 1 ? groups.length : 0;
    if (!count) return 18;
    const roomy = (space - heads * HEAD) / count;
    return Math.min(18, roomy >= HEAD / 1.6 ? roomy : space / (count + heads * 1.6));
};

const resize = () => {
    width = stage.clientWidth;
    const space = Math.max(260, Math.min(560, innerHeight - 320));
    rows.fit = fit(space);
    rows.height = rows.fit;
    rows.top = 0;
    gutter = !packed && width > 700 && shown.length ? gutterFor(shown) : 10;
    height = Math.round(top() + Math.max(40, Math.min(space, tall())) + 8);
    scale = Math.max(1, devicePixelRatio || 1);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
    redraw();
};

const clamp = () => {
    const span = Math.min(length, Math.max(view.end - view.begin, 20));
    const begin = Math.min(Math.max(view.begin, 0), length - span);
    view = { begin, end: begin + span };
    rows.height = Math.min(Math.max(rows.height, rows.fit), 26);
    rows.top = Math.min(Math.max(rows.top, 0), Math.max(0, tall() - room()));
};

const zoom = (factor, at = (view.begin + view.end) / 2) => {
    view = { begin: at - (at - view.begin) * factor, end: at + (view.end - at) * factor };
    clamp();
    redraw();
};
const stretch = (factor, at = room() / 2) => {
    const before = rows.height, where = rows.top + at;
    rows.height = Math.min(Math.max(rows.height * factor, rows.fit), 26);
    rows.top = where * rows.height / before - at;
    clamp();
    redraw();
};
const pan = (dx, dy) => {
    const time = dx / (width - gutter - CAP) * (view.end - view.begin);
    view = { begin: view.begin - time, end: view.end - time };
    rows.top -= dy;
    clamp();
    redraw();
};
const whole = () => {
    view = { begin: 0, end: length };
    rows.height = rows.fit;
    rows.top = 0;
    redraw();
};

// Top of a handle's row in the canvas.
const rowOf = handle => {
    let y = top() - rows.top;
    for (const group of groups) {
        if (group.process === handle.process) return y + head() + handle.lane * rows.height;
        y += head() + group.count * rows.height;
    }
    return y;
};

const inLane = (lane, time, slack) => {
    let low = 0, high = lane.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (lane[middle].begin <= time + slack) low = middle + 1;
        else high = middle;
    }
    const handle = lane[low - 1];
    return handle && handle.end >= time - slack ? handle : null;
};

// Where several rows share a pixel, one that leaked is what the reader is after.
const handleAt = (px, py) => {
    if (py < top() || px < 0) return null;
    const time = px < gutter ? NaN : timeAt(px), slack = 3 / (width - gutter - CAP) * (view.end - view.begin);
    let y = py - top() + rows.top, found = null;
    for (const group of groups) {
        y -= head();
        if (y < 0) return null;
        if (y < group.count * rows.height) {
            const first = Math.floor(y / rows.height), end = Math.max(first + 1, Math.ceil((y + 1) / rows.height));
            for (let lane = first; lane < end && lane < group.count; lane++) {
                const one = Number.isNaN(time) ? (!packed && group.lanes[lane][0]) : inLane(group.lanes[lane], time, slack);
                if (one && (!found || (one.outcome.bad && !found.outcome.bad))) found = one;
            }
            return found;
        }
        y -= group.count * rows.height;
    }
    return null;
};
