// timeline.js: lets a person walk through the timeline by wheel, by hand and by keys, and says what a bar is.

/* The card beside a bar. Every word of it is set as text: names come from programs that nobody vouches for. */

const element = (name, words, className) => {
    const made = document.createElement(name);
    if (words !== undefined) made.textContent = words;
    if (className) made.className = className;
    return made;
};

const facts = handle => {
    const { info } = groups.find(group => group.process === handle.process) ?? { info: data.processes[handle.process] };
    const rows = [['target', data.targets[handle.target] ?? 'unknown']];
    if (data.processes.length > 1) rows.push(['process', `${info.program} ${info.pid}`]);
    if (handle.statement >= 0) rows.push(['last statement', data.statements[handle.statement]]);
    const life = lanes.duration(handle.end - handle.begin);
    rows.push(['opened', `at ${lanes.duration(handle.begin)}`]);
    if (handle.outcome.ended) rows.push(['finished', `at ${lanes.duration(handle.end)}, after ${life}`]);
    else rows.push(['alive', `${life}, to the end`]);
    if (handle.failed) rows.push(['connected', 'never']);
    if (handle.periods === 0) rows.push(['busy', 'never']);
    else {
        const share = handle.busyTime / Math.max(handle.end - handle.begin, 1) * 100;
        const times = handle.periods === 1 ? 'once' : `${handle.periods} times`;
        rows.push(['busy', `${times}, ${lanes.duration(handle.busyTime)} in all (${share < .1 ? 'under 0.1' : Number(share.toPrecision(2))}%)`]);
    }
    if (handle.unused >= 0 && !handle.outcome.ended) rows.push(['unused', `for ${lanes.duration(handle.unused)}`]);
    return rows;
};

const fillCard = handle => {
    const title = element('h3', `Handle ${handle.number}`);
    title.append(element('span', handle.outcome.word, handle.outcome.bad ?? ''));
    const stack = element('ol');
    let folded = 0;
    const unfold = () => {
        if (folded) stack.append(element('li', folded === 1 ? '1 frame more' : `${folded} frames more`, 'fold'));
        folded = 0;
    };
    for (const [frame, noise] of data.sites[handle.site]?.stack ?? [['an unknown place', 0]]) {
        if (noise) {
            folded++;
            continue;
        }
        unfold();
        stack.append(element('li', frame));
    }
    unfold();
    const list = element('dl');
    for (const [word, value] of facts(handle)) list.append(element('dt', word), element('dd', value));
    card.replaceChildren(title);
    if (handle.outcome.says) card.append(element('p', handle.outcome.says, 'soft'));
    card.append(stack, list);
};

const showCard = (handle, px, py) => {
    if (card.dataset.handle !== String(handle.index)) fillCard(handle);
    card.dataset.handle = String(handle.index);
    card.hidden = false;
    const left = px + 18 + card.offsetWidth > innerWidth ? Math.max(8, px - 18 - card.offsetWidth) : px + 18;
    const below = py + 16 + card.offsetHeight > innerHeight;
    const above = below ? Math.max(8, py - 14 - card.offsetHeight) : py + 16;
    card.style.left = `${left + scrollX}px`;
    card.style.top = `${above + scrollY}px`;
};

const keep = wanted => {
    kept = wanted;
    card.classList.toggle('kept', wanted);
};
const hideCard = () => {
    keep(false);
    card.hidden = true;
};

// A handle that was chosen by keys: into view, with its card beside it, and said aloud.
const select = handle => {
    chosen = handle;
    if (handle.end < view.begin || handle.begin > view.end) {
        const span = view.end - view.begin;
        view = { begin: handle.begin - span * .1, end: handle.begin + span * .9 };
    }
    const y = rowOf(handle);
    if (y < top()) rows.top -= top() - y;
    if (y + rows.height > height) rows.top += y + rows.height - height + 4;
    clamp();
    redraw();
    const box = canvas.getBoundingClientRect();
    showCard(handle, box.left + Math.max(gutter, Math.min(x(handle.begin), width * .6)), box.top + rowOf(handle) + rows.height / 2);
    const place = data.sites[handle.site]?.name ?? 'an unknown place';
    spoken.textContent = `Handle ${handle.number}, ${handle.outcome.word}, opened at ${place}. `
        + facts(handle).map(([word, value]) => `${word} ${value}`).join('; ');
};

const step = by => {
    if (!shown.length) return;
    const order = groups.flatMap(group => group.handles);
    const at = order.indexOf(chosen);
    select(order[at < 0 ? (by > 0 ? 0 : order.length - 1) : Math.min(Math.max(at + by, 0), order.length - 1)]);
};

/* Hand and wheel. */

const where = event => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
};

const onMove = event => {
    pointer = where(event);
    if (grip) {
        if (!grip.moved && Math.hypot(pointer.x - grip.x, pointer.y - grip.y) > 4) {
            grip.moved = true;
            stage.classList.toggle('moving', !grip.select);
            hideCard();
        }
        if (grip.moved && !grip.select) {
            pan(pointer.x - grip.lastX, pointer.y - grip.lastY);
            grip.lastX = pointer.x;
            grip.lastY = pointer.y;
        }
        redraw();
        return;
    }
    hovered = handleAt(pointer.x, pointer.y);
    if (!kept) {
        if (hovered) showCard(hovered, event.clientX, event.clientY);
        else hideCard();
    }
    redraw();
};

const onDown = event => {
    if (event.button !== 0) return;
    const at = where(event);
    grip = { x: at.x, y: at.y, lastX: at.x, lastY: at.y, select: at.y < top(), moved: false };
    canvas.setPointerCapture(event.pointerId);
};

const onUp = event => {
    const at = where(event), held = grip;
    grip = null;
    stage.classList.remove('moving');
    if (!held) return;
    if (held.moved && held.select) {
        const [from, to] = [timeAt(held.x), timeAt(at.x)].sort((a, b) => a - b);
        view = { begin: from, end: to };
        clamp();
    } else if (!held.moved) {
        const handle = handleAt(at.x, at.y);
        hideCard();
        chosen = handle;
        if (handle) {
            showCard(handle, event.clientX, event.clientY);
            keep(true);
        }
    }
    redraw();
};

// The page scrolls as any page does, until the reader has the timeline in hand (or holds Ctrl).
const onWheel = event => {
    if (document.activeElement !== stage && !event.ctrlKey) return;
    event.preventDefault();
    const at = where(event), amount = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(-(event.deltaX || event.deltaY), 0);
    else if (event.altKey) stretch(Math.exp(-amount / 400), at.y - top());
    else zoom(Math.exp(amount / 400), timeAt(Math.max(at.x, gutter)));
};

const keys = {
    '+': () => zoom(1 / 1.5), '=': () => zoom(1 / 1.5), '-': () => zoom(1.5),
    'ArrowLeft': () => pan(80, 0), 'ArrowRight': () => pan(-80, 0),
    'ArrowUp': () => step(-1), 'ArrowDown': () => step(1),
    'PageUp': () => pan(0, room() * .8), 'PageDown': () => pan(0, -room() * .8),
    '[': () => stretch(1 / 1.4), ']': () => stretch(1.4),
    'Home': whole, '0': whole,
    'Enter': () => {
        if (!chosen) return;
        const edge = Math.max((chosen.end - chosen.begin) * .08, 10);
        view = { begin: chosen.begin - edge, end: chosen.end + edge };
        clamp();
        select(chosen);
    },
    'Escape': () => {
        chosen = null;
        hideCard();
        redraw();
    },
};

const onKey = event => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
};

/* Filters. */

const showLegend = order => {
    const legend = $('legend');
    const paint = () => {
        for (const button of legend.querySelectorAll('button')) {
            const colour = inks.sites[Math.min(ranks[button.dataset.site], colours.count)];
            button.querySelector('i').style.background = colour.busy.css;
            button.setAttribute('aria-pressed', String(Number(button.dataset.site) === filter.site));
        }
        for (const swatch of document.querySelectorAll('.swatch[data-site]')) {
            swatch.style.display = 'inline-block';
            swatch.style.background = inks.sites[Math.min(ranks[swatch.dataset.site] ?? colours.count, colours.count)].busy.css;
        }
    };
    for (const { site, count } of order.slice(0, colours.count)) {
        const item = element('li'), button = element('button');
        button.type = 'button';
        button.dataset.site = String(site);
        button.append(element('i'), element('span', data.sites[site].name, 'code'), element('span', String(count), 'count'));
        button.title = data.sites[site].stack.map(([frame]) => frame).join('\n');
        button.addEventListener('click', () => {
            filter.site = filter.site === site ? -1 : site;
            choose();
            paint();
        });
        item.append(button);
        legend.append(item);
    }
    if (order.length > colours.count) legend.append(element('li', `and ${order.length - colours.count} more places, in grey`, 'soft'));
    return paint;
};

// Only the marks that occur: most pages have none.
const showMarks = () => {
    const says = {
        lost: 'lost: never finished, and nothing points at it',
        held: 'never finished',
        left: 'left: closed by a runtime’s shutdown, not by the program',
        open: 'still open, or in another process',
    };
    const seen = new Set(all.map(({ outcome }) => outcome.bad ?? outcome.mark));
    for (const [mark, words] of Object.entries(says)) {
        if (!seen.has(mark)) continue;
        const item = element('li', undefined, `mark ${mark}`);
        item.append(element('i'), words);
        $('marks').append(item);
    }
};

const rowsFollow = () => {
    for (const row of document.querySelectorAll('tr[data-site]'))
        row.hidden = filter.words !== '' && !row.textContent.toLowerCase().includes(filter.words);
};

const listen = () => {
    canvas.addEventListener('pointermove', onMove);
    canvas.addEventListener('pointerdown', onDown);
    canvas.addEventListener('pointerup', onUp);
    canvas.addEventListener('pointercancel', () => { grip = null; });
    canvas.addEventListener('pointerleave', () => {
        pointer = hovered = null;
        if (!kept && !chosen) hideCard();
        redraw();
    });
    canvas.addEventListener('dblclick', whole);
    stage.addEventListener('wheel', onWheel, { passive: false });
    stage.addEventListener('keydown', onKey);
    stage.addEventListener('blur', () => { if (!kept) hideCard(); });
    $('closer').addEventListener('click', () => zoom(1 / 1.6));
    $('wider').addEventListener('click', () => zoom(1.6));
    $('whole').addEventListener('click', whole);
    $('words').addEventListener('input', event => {
        filter.words = event.target.value.trim().toLowerCase();
        choose();
        rowsFollow();
    });
    $('bad').addEventListener('click', event => {
        filter.bad = !filter.bad;
        event.currentTarget.setAttribute('aria-pressed', String(filter.bad));
        choose();
    });
    $('target')?.addEventListener('change', event => {
        filter.target = Number(event.target.value);
        choose();
    });
    new ResizeObserver(() => { if (stage.clientWidth !== width) resize(); }).observe(stage);
};

const start = () => {
    const order = rankSites();
    for (const site of data.sites) site.search = site.stack.map(([frame]) => frame).join('\n').toLowerCase();
    dip();
    const paint = showLegend(order);
    showMarks();
    for (const part of document.querySelectorAll('.needs-script')) part.hidden = false;
    listen();
    choose();
    paint();
    const again = () => {
        dip();
        paint();
        draw();
    };
    dark.addEventListener('change', again);
    printed.addEventListener('change', again);
};

if (data && stage) start();
