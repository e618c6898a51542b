// drawing.js: draws the scene: axis, curves with the budget, a bar for each handle, and what the pointer is at.

const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
        waiting = false;
        draw();
    });
};

const text = (string, px, py, colour, align = 'left', font = '11.5px system-ui, sans-serif') => {
    pen.font = font;
    pen.textAlign = align;
    pen.textBaseline = 'middle';
    pen.fillStyle = colour.css;
    pen.fillText(string, px, py);
};
// The end of a place says more than its beginning, and a name in the middle of which something is missing says
// little: first the frames that it shares with others go, then directories, then namespaces.
const shortened = (string, space) => {
    const fits = one => pen.measureText(one).width <= space;
    if (fits(string)) return string;
    const frames = string.split(' < '), last = frames[frames.length - 1];
    const forms = frames.slice(1).map((_, i) => `… < ${frames.slice(i + 1).join(' < ')}`);
    const bare = last.replace(/^[^ ]*\//, '');
    const whole = [...forms, last, bare, bare.replace(/(?:\w+::)+(?=\w+::)/g, ''), bare.replace(/(?:\w+::)+/g, '')].find(fits);
    if (whole) return whole;
    let low = 0, high = string.length;
    while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (pen.measureText(`…${string.slice(-middle)}`).width <= space) low = middle;
        else high = middle - 1;
    }
    return `…${string.slice(string.length - low)}`;
};

const drawAxis = () => {
    const { list, step } = lanes.ticks(view.begin, view.end, (width - gutter) / 110);
    for (const time of list) {
        const px = Math.round(x(time)) + .5;
        pen.fillStyle = inks.line.css;
        pen.fillRect(px - .5, AXIS, 1, height - AXIS);
        text(lanes.mark(time, step), Math.min(px, width - 34), AXIS / 2 + 1, inks.soft, px < gutter + 16 ? 'left' : 'center');
    }
};

// The highest count within each pixel: what lasts less than a pixel still shows.
const area = (curve, y, fill, line) => {
    const { times, counts } = curve, right = Math.ceil(width - CAP), base = y(0);
    if (!times.length) return;
    const tops = [];
    let i = Math.max(0, lanes.last(times, timeAt(gutter)));
    for (let px = Math.floor(gutter); px < right; px++) {
        const end = timeAt(px + 1);
        let most = times[i] <= end ? counts[i] : 0;
        while (i + 1 < times.length && times[i + 1] < end) most = Math.max(most, counts[++i]);
        tops.push(most);
    }
    pen.beginPath();
    pen.moveTo(gutter, base);
    tops.forEach((count, n) => {
        pen.lineTo(gutter + n, y(count));
        pen.lineTo(gutter + n + 1, y(count));
    });
    pen.lineTo(gutter + tops.length, base);
    pen.fillStyle = fill.css;
    pen.fill();
    if (!line) return;
    pen.beginPath();
    tops.forEach((count, n) => {
        pen.lineTo(gutter + n, y(count));
        pen.lineTo(gutter + n + 1, y(count));
    });
    pen.strokeStyle = line.css;
    pen.lineWidth = 1.25;
    pen.stroke();
};

const drawCounts = () => {
    const ceiling = Math.max(curves.alive.peak, data.budget * 1.08, 1), base = AXIS + COUNTS;
    const y = count => base - count / ceiling * (COUNTS - 22);
    area(curves.alive, y, inks.fill, inks.alive);
    area(curves.busy, y, inks.busy, null);
    pen.fillStyle = inks.faint.css;
    pen.fillRect(gutter, base, width - gutter, 1);
    let taken = -99;
    if (data.budget) {
        const at = Math.round(y(data.budget)) + .5;
        pen.setLineDash([6, 4]);
        pen.strokeStyle = inks.lost.css;
        pen.lineWidth = 1;
        pen.beginPath();
        pen.moveTo(gutter, at);
        pen.lineTo(width, at);
        pen.stroke();
        pen.setLineDash([]);
        text(`budget ${data.budget}${data.targets.length > 1 ? ' for each target' : ''}`, width - 6, at - 8, inks.lost, 'right', '600 11.5px system-ui, sans-serif');
        stage.dataset.budget = String(at - .5);
        taken = at;
    }
    const label = (count, word, colour) => {
        let at = y(count) - 8;
        if (Math.abs(at + 8 - taken) < 11) at = taken + 9;
        taken = at;
        text(`${count} ${word}`, gutter + 6, at, colour, 'left', '600 11.5px system-ui, sans-serif');
    };
    if (gutter > 60) {
        text(`${curves.alive.peak} alive at most`, gutter - 12, AXIS + 26, inks.soft, 'right');
        text(`${curves.busy.peak} busy at once`, gutter - 12, AXIS + 46, inks.ink, 'right', '600 11.5px system-ui, sans-serif');
    } else {
        label(curves.alive.peak, 'alive at most', inks.soft);
        if (curves.alive.peak - curves.busy.peak > ceiling * .18) label(curves.busy.peak, 'busy at once', inks.ink);
    }
};

const capInk = outcome => (outcome.bad === 'lost' ? inks.lost : outcome.bad === 'held' ? inks.held : null);

const drawEnd = (handle, right, y, high) => {
    const colour = capInk(handle.outcome);
    if (colour) {
        pen.fillStyle = colour.css;
        pen.fillRect(right, y, high >= 8 ? 3 : 7, high);
        if (high >= 8) {
            pen.beginPath();
            pen.moveTo(right + 3, y + high / 2 - 4);
            pen.lineTo(right + 9, y + high / 2);
            pen.lineTo(right + 3, y + high / 2 + 4);
            pen.fill();
        }
    } else if (handle.outcome.mark) {
        const size = Math.min(3, Math.max(1, high / 2 - .5)), middle = y + high / 2;
        pen.strokeStyle = inks.soft.css;
        pen.lineWidth = 1.25;
        pen.beginPath();
        if (handle.outcome.mark === 'left') pen.arc(right + 3 + size, middle, size, 0, 7);
        else {
            pen.moveTo(right + 3, middle - size);
            pen.lineTo(right + 3 + size, middle);
            pen.lineTo(right + 3, middle + size);
        }
        pen.stroke();
    }
};

const drawBusy = (busy, y, high) => {
    const from = Math.max(0, lanes.last(busy, view.begin) & ~1);
    let begin = NaN, end = NaN;
    for (let i = from; i < busy.length && busy[i] <= view.end; i += 2) {
        const left = Math.max(x(busy[i]), gutter), right = Math.min(x(busy[i + 1]), width - CAP);
        if (right < left) continue;
        if (left <= end + .25) {
            end = Math.max(end, right, begin + 1);
            continue;
        }
        if (end >= begin) pen.fillRect(begin, y, end - begin, high);
        begin = left;
        end = Math.max(right, left + 1);
    }
    if (end >= begin) pen.fillRect(begin, y, end - begin, high);
};

const drawBar = (handle, y, high) => {
    const coatOf = coat(handle), left = Math.max(x(handle.begin), gutter - 4), right = Math.min(x(handle.end), width - CAP);
    if (right < gutter || left > width - CAP) return false;
    const end = Math.max(right, left + 2);
    pen.fillStyle = coatOf.alive.css;
    if (high >= 7) {
        pen.beginPath();
        pen.roundRect(left, y, end - left, high, 3);
        pen.fill();
    } else pen.fillRect(left, y, end - left, high);
    const colour = capInk(handle.outcome);
    if (colour && high >= 4) {
        pen.fillStyle = colour.css;
        pen.fillRect(left, y + high - (high >= 9 ? 2 : 1), end - left, high >= 9 ? 2 : 1);
    }
    if (handle.failed && high >= 6) {
        pen.strokeStyle = inks.lost.css;
        pen.lineWidth = 1;
        pen.strokeRect(left + .5, y + .5, Math.max(end - left - 1, 1), high - 1);
    }
    pen.fillStyle = coatOf.busy.css;
    const inset = high >= 10 ? 3 : high >= 6 ? 1 : 0;
    drawBusy(handle.busy, y + inset, high - 2 * inset);
    drawEnd(handle, end, y, high);
    return true;
};

// Where rows are lower than their labels, some go without: what the reader points at keeps its own, then what
// was never finished.
const LABEL = 13;
const drawLabels = list => {
    const urgency = ({ handle }) => (handle === hovered || handle === chosen ? 0 : handle.outcome.bad ? 1 : 2);
    const taken = [];
    for (const one of list.sort((a, b) => urgency(a) - urgency(b) || a.y - b.y)) {
        if (taken.some(y => Math.abs(y - one.y) < LABEL)) continue;
        taken.push(one.y);
        label(one.handle, one.y);
    }
    stage.dataset.labels = String(taken.length);
    stage.dataset.apart = String(taken.sort((a, b) => a - b).reduce((least, y, i) => (i ? Math.min(least, y - taken[i - 1]) : least), Infinity));
};

const labelFont = '11.5px ui-monospace, "DejaVu Sans Mono", monospace';
const label = (handle, y) => {
    pen.font = labelFont;
    const colour = capInk(handle.outcome) ?? (handle === hovered || handle === chosen ? inks.ink : inks.soft);
    text(shortened(data.sites[handle.site]?.name ?? 'an unknown place', gutter - 26), gutter - 12, y, colour, 'right', labelFont);
};

// As wide as the longest label, within reason.
const gutterFor = handles => {
    pen.font = labelFont;
    const names = new Set(handles.map(handle => data.sites[handle.site]?.name ?? 'an unknown place'));
    const most = Math.min(440, width * .34);
    const wide = Math.max(...[...names].map(name => pen.measureText(shortened(name, most - 26)).width));
    return Math.min(Math.max(wide + 26, 160), most);
};

const eachRow = visit => {
    let y = top() - rows.top;
    for (const group of groups) {
        visit(group, y);
        y += head() + group.count * rows.height;
    }
};

const drawRows = () => {
    let bars = 0;
    const labels = [];
    const space = rows.height >= 9 ? Math.max(2, rows.height * .22) : rows.height >= 5 ? 1 : 0;
    eachRow((group, y) => {
        for (let lane = 0; lane < group.count; lane++) {
            const at = y + head() + lane * rows.height;
            if (at + rows.height < top() || at > height) continue;
            for (const handle of group.lanes[lane]) {
                if (!drawBar(handle, at + space / 2, rows.height - space)) continue;
                bars++;
                if (gutter > 60) labels.push({ handle, y: at + rows.height / 2 });
            }
        }
    });
    drawLabels(labels);
    return bars;
};

// Rows thinner than a few pixels: how much of each pixel is alive and how much of it busy, for then many
// handles share one, and a few busy ones must not make all of them look busy.
const drawThin = () => {
    const left = Math.round(gutter * scale), wide = canvas.width - left, from = Math.round(top() * scale);
    const high = Math.max(1, canvas.height - from), right = Math.round((width - CAP) * scale) - left;
    const image = pen.getImageData(left, from, wide, high), pixels = new Uint32Array(image.data.buffer);
    const alive = new Float32Array(wide * high), busy = new Float32Array(wide * high), rank = new Uint8Array(wide * high);
    const column = time => Math.min(right, Math.max(0, (x(time) - gutter) * scale)), weight = Math.min(1, rows.height * scale);
    let bars = 0;

    const cover = (into, begin, end, first, after) => {
        const one = Math.floor(begin), last = Math.min(Math.floor(end), right - 1);
        for (let row = first; row < after; row++)
            for (let at = one; at <= last; at++)
                into[row * wide + at] += weight * (Math.min(end, at + 1) - Math.max(begin, at));
    };
    const each = visit => eachRow((group, y) => {
        for (const handle of group.handles) {
            const at = (y - top() + head() + handle.lane * rows.height) * scale;
            const first = Math.max(0, Math.floor(at)), after = Math.min(high, Math.max(Math.floor(at) + 1, Math.floor(at + rows.height * scale)));
            if (after > first && handle.end >= view.begin && handle.begin <= view.end) visit(handle, first, after);
        }
    });
    each((handle, first, after) => {
        const begin = column(handle.begin), end = Math.max(column(handle.end), begin + 1);
        cover(alive, begin, end, first, after);
        for (let row = first; row < after; row++)
            rank.fill(Math.min(rankOf(handle), colours.count), row * wide + Math.floor(begin), row * wide + Math.ceil(end));
        const parts = handle.busy;
        for (let i = Math.max(0, lanes.last(parts, view.begin) & ~1); i < parts.length && parts[i] <= view.end; i += 2)
            cover(busy, column(parts[i]), column(parts[i + 1]), first, after);
        bars++;
    });
    const channel = (pixel, shift) => pixel >>> shift & 255;
    for (let i = 0; i < pixels.length; i++) {
        if (!alive[i]) continue;
        const a = Math.min(1, alive[i] + .15), b = Math.min(a, busy[i] ** .7), coatOf = inks.sites[rank[i]];
        let pixel = 255 << 24;
        for (let shift = 0; shift < 24; shift += 8)
            pixel |= (1 - a) * channel(pixels[i], shift) + (a - b) * channel(coatOf.alive.pixel, shift) + b * channel(coatOf.busy.pixel, shift) << shift;
        pixels[i] = pixel >>> 0;
    }
    each((handle, first, after) => {
        const cap = capInk(handle.outcome), end = Math.floor(column(handle.end));
        const colour = cap ?? (handle.outcome.mark === 'left' ? inks.faint : null), long = Math.round((cap ? 7 : 3) * scale);
        for (let row = first; colour && row < after; row++) pixels.fill(colour.pixel, row * wide + end, row * wide + Math.min(wide, end + long));
    });
    pen.putImageData(image, left, from);
    return bars;
};

const drawHeads = () => {
    if (groups.length < 2) return;
    eachRow((group, y) => {
        const high = head(), { info } = group;
        if (y + high < top() || y > height) return;
        pen.fillStyle = inks.line.css;
        pen.fillRect(0, Math.max(y, top()), width, 1);
        if (high < 15) return;
        pen.font = '600 11.5px system-ui, sans-serif';
        const words = `${info.program} ${info.pid}`;
        const room = pen.measureText(words).width;
        text(words, 10, y + high / 2 + 1, inks.ink, 'left', '600 11.5px system-ui, sans-serif');
        text(`${group.handles.length} ${group.handles.length === 1 ? 'handle' : 'handles'}, ${info.ended}`, 18 + room, y + high / 2 + 1, inks.soft);
    });
};

// Beyond the last span that found room there is nothing to see, which is not the same as nothing.
const drawUnrecorded = () => {
    const since = data.processes.reduce((least, one) => (one.full >= 0 ? Math.min(least, one.full) : least), Infinity);
    if (since > view.end) return;
    const left = Math.max(x(since), gutter);
    pen.save();
    pen.beginPath();
    pen.rect(left, AXIS, width - left, height);
    pen.clip();
    pen.strokeStyle = inks.line.css;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let at = left - height; at < width; at += 9) {
        pen.moveTo(at, height);
        pen.lineTo(at + height, 0);
    }
    pen.stroke();
    pen.restore();
};

const drawPointer = () => {
    const marked = hovered ?? chosen;
    if (marked) {
        const y = rowOf(marked), left = Math.max(x(marked.begin), gutter) - 2, right = Math.min(x(marked.end), width - CAP) + 2;
        if (right > gutter && y + rows.height > top()) {
            pen.strokeStyle = (marked === chosen ? inks.focus : inks.ink).css;
            pen.lineWidth = marked === chosen ? 2 : 1;
            pen.strokeRect(left, Math.max(y, top()) + .5, Math.max(right - left, 5), Math.max(rows.height - 1, 2));
        }
    }
    if (grip?.select) {
        const [from, to] = [grip.x, pointer?.x ?? grip.x].sort((a, b) => a - b);
        pen.globalAlpha = .16;
        pen.fillStyle = inks.focus.css;
        pen.fillRect(from, AXIS, to - from, height - AXIS);
        pen.globalAlpha = 1;
    } else if (pointer && pointer.x > gutter && pointer.x < width - CAP) {
        const time = timeAt(pointer.x);
        const count = curve => Math.max(0, curve.counts[lanes.last(curve.times, time)] ?? 0);
        pen.fillStyle = inks.faint.css;
        pen.fillRect(Math.round(pointer.x), AXIS, 1, height - AXIS);
        const words = `${lanes.duration(time)}: ${count(curves.alive)} alive, ${count(curves.busy)} busy`;
        pen.font = '600 11.5px system-ui, sans-serif';
        const wide = pen.measureText(words).width + 14, at = Math.min(Math.max(pointer.x - wide / 2, 2), width - wide - 2);
        pen.fillStyle = inks.ink.css;
        pen.beginPath();
        pen.roundRect(at, 3, wide, AXIS - 5, 5);
        pen.fill();
        text(words, at + 7, AXIS / 2 + 1, inks.card, 'left', '600 11.5px system-ui, sans-serif');
    }
};

const draw = () => {
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = inks.card.css;
    pen.fillRect(0, 0, width, height);
    drawAxis();
    drawUnrecorded();
    pen.save();
    pen.beginPath();
    pen.rect(0, top() - 2, width, height);
    pen.clip();
    const bars = rows.height < 3 ? drawThin() : drawRows();
    drawHeads();
    pen.restore();
    drawCounts();
    if (!shown.length) text('No handle matches.', gutter + 10, top() + 20, inks.soft);
    drawPointer();
    Object.assign(stage.dataset, {
        bars, shown: shown.length, begin: view.begin, end: view.end, row: rows.height,
        alive: curves.alive.peak, busy: curves.busy.peak, lanes: groups.reduce((sum, group) => sum + group.count, 0),
    });
};
