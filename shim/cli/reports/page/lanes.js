// lanes.js: what the timeline is made of: handles with their busy parts, the lanes that hold them, and the
// curves above them. Nothing here draws. Times are microseconds since the first process began.
const lanes = (() => {
    // How a handle ended, in the order of the report's writer.
    const outcomes = [
        { word: 'finished', ended: true },
        { word: 'lost', says: 'never finished, and nothing points at it any more', bad: 'lost' },
        { word: 'held', says: 'never finished, and something still pointed at it', bad: 'held' },
        { word: 'never finished', says: 'and nobody could look whether anything still pointed at it', bad: 'held' },
        { word: 'open', says: 'when this report was made', mark: 'open' },
        { word: 'left to the runtime', says: 'finished by a runtime’s shutdown, not by the program', ended: true, mark: 'left' },
        { word: 'handed over', says: 'used and finished by a forked child', mark: 'open' },
        { word: 'from the parent', says: 'came by fork, was used here and not finished here', mark: 'open' },
    ];

    // A row of the data is [process, number, site, target, begin, end, outcome, failed, periods, busy,
    // statement, unused]; its busy parts are pairs of (gap since the last one ended, length).
    const read = data => {
        const handles = data.handles.map((row, index) => {
            const [process, number, site, target, begin, end, outcome, failed, periods, busyTime, statement, unused] = row;
            const pairs = data.busy[index];
            const busy = new Float64Array(pairs.length);
            let at = begin;
            for (let i = 0; i < pairs.length; i += 2) {
                at += pairs[i];
                busy[i] = at;
                at += pairs[i + 1];
                busy[i + 1] = at;
            }
            return {
                index, process, number, site, target, begin, end, outcome: outcomes[outcome] ?? outcomes[0],
                failed: failed === 1, periods, busyTime, statement, unused, busy, lane: 0,
            };
        });
        handles.sort((a, b) => a.process - b.process || a.begin - b.begin || a.number - b.number);
        return handles;
    };

    // A heap of numbers, smallest first; `value` says what a number is compared by.
    const heap = value => {
        const items = [];
        const less = (a, b) => value(items[a]) < value(items[b]);
        const swap = (a, b) => { [items[a], items[b]] = [items[b], items[a]]; };
        return {
            get first() { return items[0]; },
            get size() { return items.length; },
            push(item) {
                items.push(item);
                for (let i = items.length - 1, up; i > 0 && less(i, (up = (i - 1) >> 1)); i = up) swap(i, up);
            },
            pop() {
                const top = items[0], last = items.pop();
                if (items.length) {
                    items[0] = last;
                    for (let i = 0, down; (down = 2 * i + 1) < items.length; i = down) {
                        if (down + 1 < items.length && less(down + 1, down)) down++;
                        if (!less(down, i)) break;
                        swap(i, down);
                    }
                }
                return top;
            },
        };
    };

    // Gives each handle (sorted by begin) the first lane from `used` on that is free again by then.
    const pack = (handles, used, gap) => {
        const taken = heap(handle => handle.end), free = heap(lane => lane);
        for (const handle of handles) {
            while (taken.size && taken.first.end + gap < handle.begin) free.push(taken.pop().lane);
            handle.lane = free.size ? free.pop() : used++;
            taken.push(handle);
        }
        return used;
    };

    // A lane for each handle of a process, or, when they are many, a band of lanes for each call site, the
    // biggest first: a field of one colour can be read where a patchwork cannot. Returns how many lanes.
    const place = (handles, bands, rank, gap) => {
        if (!bands) {
            handles.forEach((handle, i) => { handle.lane = i; });
            return handles.length;
        }
        const sites = new Map();
        for (const handle of handles) {
            if (!sites.has(handle.site)) sites.set(handle.site, []);
            sites.get(handle.site).push(handle);
        }
        const order = [...sites.keys()].sort((a, b) => rank(a) - rank(b));
        return order.reduce((used, site) => pack(sites.get(site), used, gap), 0);
    };

    // Groups by process; each has its handles, its lanes (arrays in time order) and how many there are.
    const arrange = (handles, processes, bands, rank, gap) => {
        const groups = new Map();
        for (const handle of handles) {
            if (!groups.has(handle.process))
                groups.set(handle.process, { process: handle.process, info: processes[handle.process], handles: [] });
            groups.get(handle.process).handles.push(handle);
        }
        const list = [...groups.values()].sort((a, b) => a.info.begin - b.info.begin);
        for (const group of list) {
            group.count = place(group.handles, bands, rank, gap);
            group.lanes = Array.from({ length: group.count }, () => []);
            for (const handle of group.handles) group.lanes[handle.lane].push(handle);
        }
        return list;
    };

    // An edge of a curve is one number, so that a typed array sorts it: twice the time, and one more for a
    // rise. So of one instant the ends come first.
    const edges = (handles, of) => {
        const list = new Map();
        for (const handle of handles) {
            if (!list.has(handle.process)) list.set(handle.process, []);
            of(handle, list.get(handle.process));
        }
        return list;
    };

    // What a process has counted itself is the most that parts which were joined may add up to.
    const capped = (sorted, cap) => {
        const kept = [];
        let count = 0;
        for (const edge of sorted) {
            const before = count;
            count += edge % 2 ? 1 : -1;
            if (Math.min(before, cap) !== Math.min(count, cap)) kept.push(edge);
        }
        return kept;
    };

    // A step curve: times, and the count that holds from each on.
    const steps = (byProcess, caps) => {
        const all = [];
        for (const [process, list] of byProcess)
            for (const edge of capped(Float64Array.from(list).sort(), caps?.[process].busy_peak || Infinity)) all.push(edge);
        const sorted = Float64Array.from(all).sort();
        const times = [], counts = [];
        let count = 0, peak = 0;
        for (const edge of sorted) {
            const time = Math.floor(edge / 2);
            count += edge % 2 ? 1 : -1;
            if (times.length && times[times.length - 1] === time) counts[counts.length - 1] = count;
            else {
                times.push(time);
                counts.push(count);
            }
        }
        for (const one of counts) if (one > peak) peak = one;
        return { times: Float64Array.from(times), counts: Int32Array.from(counts), peak };
    };

    const curves = (handles, processes) => ({
        alive: steps(edges(handles, (handle, list) => list.push(2 * handle.begin + 1, 2 * handle.end)), null),
        busy: steps(edges(handles, ({ busy }, list) => {
            for (let i = 0; i < busy.length; i += 2) list.push(2 * busy[i] + 1, 2 * busy[i + 1]);
        }), processes),
    });

    // Index of the last element that is not above the value, or -1.
    const last = (sorted, value) => {
        let low = 0, high = sorted.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (sorted[middle] <= value) low = middle + 1;
            else high = middle;
        }
        return low - 1;
    };

    const units = [[1, 'µs'], [1e3, 'ms'], [1e6, 's'], [6e7, 'min'], [36e8, 'h'], [864e8, 'd']];

    // "1.25 s": three figures, in the largest unit that leaves one before the point.
    const duration = time => {
        if (!(time > 0)) return time === 0 ? '0' : '–';
        let [size, name] = units[0];
        for (const [unit, word] of units) if (time >= unit * (word === 'min' || word === 'h' ? 2 : 1)) [size, name] = [unit, word];
        const value = time / size;
        return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${name}`;
    };

    // Round times between two for an axis of about `wanted` marks.
    const ticks = (begin, end, wanted) => {
        const rough = Math.max((end - begin) / Math.max(wanted, 1), .5);
        let step = 1;
        if (rough > 6e7) {
            step = [6e7, 12e7, 3e8, 6e8, 9e8, 18e8, 36e8, 72e8, 216e8, 432e8, 864e8].find(one => one >= rough)
                ?? Math.ceil(rough / 864e8) * 864e8;
        } else {
            const power = 10 ** Math.floor(Math.log10(rough));
            step = Math.max(1, [1, 2, 5, 10].find(one => one * power >= rough) * power);
        }
        const list = [];
        for (let time = Math.ceil(begin / step) * step; time <= end; time += step) list.push(time);
        return { list, step };
    };

    // A mark on the axis, as exact as the step between marks asks for.
    const mark = (time, step) => {
        if (time === 0) return '0';
        let [size, name] = units[0];
        for (const [unit, word] of units) if (Math.abs(time) >= unit) [size, name] = [unit, word];
        if (name === 'min' || name === 'h' || name === 'd') {
            const seconds = Math.round(time / 1e6), rest = seconds % 60, minutes = Math.floor(seconds / 60);
            const two = value => String(value).padStart(2, '0');
            if (name === 'min') return `${minutes}:${two(rest)} min`;
            return `${Math.floor(minutes / 60)}:${two(minutes % 60)}${rest ? `:${two(rest)}` : ''} h`;
        }
        const digits = Math.max(0, Math.ceil(Math.log10(size / step) - 1e-9));
        return `${(time / size).toFixed(Math.min(digits, 6))} ${name}`;
    };

    return { read, arrange, curves, last, duration, ticks, mark, outcomes };
})();
