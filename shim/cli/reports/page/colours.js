// colours.js: a hue for each of the biggest call sites, grey for the rest; for paper and for a dark screen.
const colours = (() => {
    // OKLCH, because equal numbers look equally light there; no red, which is kept for leaks.
    const hues = [255, 155, 75, 312, 205, 118, 345, 283, 178, 58, 232, 137];

    const channel = value => {
        const light = value <= .0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - .055;
        return Math.round(Math.min(1, Math.max(0, light)) * 255);
    };
    const rgb = (lightness, chroma, hue) => {
        const a = chroma * Math.cos(hue * Math.PI / 180), b = chroma * Math.sin(hue * Math.PI / 180);
        const l = (lightness + .3963377774 * a + .2158037573 * b) ** 3;
        const m = (lightness - .1055613458 * a - .0638541728 * b) ** 3;
        const s = (lightness - .0894841775 * a - 1.291485548 * b) ** 3;
        return [
            channel(4.0767416621 * l - 3.3077115913 * m + .2309699292 * s),
            channel(-1.2684380046 * l + 2.6097574011 * m - .3413193965 * s),
            channel(-.0041960863 * l - .7034186147 * m + 1.707614701 * s),
        ];
    };

    // A colour in the two forms that drawing needs: for fillStyle and for a pixel of ImageData.
    const ink = ([red, green, blue]) => ({
        css: `rgb(${red} ${green} ${blue})`,
        pixel: (255 << 24 | blue << 16 | green << 8 | red) >>> 0,
    });

    const of = (rank, dark) => {
        const grey = rank >= hues.length, hue = hues[rank % hues.length];
        return dark
            ? { alive: ink(rgb(.395, grey ? .004 : .05, hue)), busy: ink(rgb(.78, grey ? .006 : .115, hue)) }
            : { alive: ink(rgb(.885, grey ? .003 : .05, hue)), busy: ink(rgb(.50, grey ? .006 : .115, hue)) };
    };

    // A custom property of the page's style, as ink.
    const named = name => {
        const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        const digits = text.slice(1).length === 3 ? text.slice(1).replace(/./g, '$&$&') : text.slice(1);
        return ink([0, 2, 4].map(at => parseInt(digits.slice(at, at + 2), 16) || 0));
    };

    return { of, named, count: hues.length };
})();
