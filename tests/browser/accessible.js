// What would keep people from using this page, one line each: a small axe. The tests evaluate it in the page.
() => {
    const seen = (one) => one.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !one.closest("[hidden], .skip");
    const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
    const short = (one) => one.outerHTML.slice(0, 120);
    const numbers = (colour) => { const found = colour.match(/[\d.]+/g).map(Number); return found.length < 4 ? [...found, 1] : found; };
    const luminance = (colour) => {
        const [red, green, blue] = colour.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    // WCAG 2.2, 1.4.3: the ratio of the luminances of a text and of what lies behind it. Pictures are left out.
    const contrast = (one) => {
        let ground = [255, 255, 255];
        for (let behind = one; behind; behind = behind.parentElement) {
            const colour = numbers(getComputedStyle(behind).backgroundColor);
            if (colour[3] > 0.9) { ground = colour.slice(0, 3); break; }
        }
        const [light, dark] = [numbers(getComputedStyle(one).color).slice(0, 3), ground].map(luminance).sort((a, b) => b - a);
        return (light + 0.05) / (dark + 0.05);
    };
    const found = [];
    for (const one of all("button, a, input, select, img, [role=option], video, meter:not([aria-hidden])")) {
        const named = one.tagName === "IMG" ? one.hasAttribute("alt") : one.getAttribute("aria-label") || one.innerText?.trim() || one.labels?.length;
        if (!named) found.push(`no name: ${short(one)}`);
    }
    for (const one of all("body *")) {
        const text = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
        if (!text || one.closest(":disabled, .hidden-text, .try-view")) continue;
        const { fontSize, fontWeight } = getComputedStyle(one);
        const large = parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700);
        if (contrast(one) < (large ? 3 : 4.5)) found.push(`contrast ${contrast(one).toFixed(2)}: ${short(one)}`);
    }
    for (const one of all("button, select, input:not([type=checkbox])")) { // WCAG 2.2, 2.5.8
        const { width, height } = one.getBoundingClientRect();
        if (Math.min(width, height) < 24) found.push(`too small: ${short(one)}`);
    }
    let level = 0;
    for (const one of all("h1, h2, h3, h4")) {
        if (Number(one.tagName[1]) > level + 1) found.push(`a level of headings is left out: ${short(one)}`);
        level = Number(one.tagName[1]);
    }
    for (const name of ["aria-labelledby", "aria-activedescendant", "for"])
        for (const one of all(`[${name}]`)) if (!document.getElementById(one.getAttribute(name))) found.push(`points nowhere: ${short(one)}`);
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    if (new Set(ids).size < ids.length) found.push(`an id is there twice: ${ids.sort()}`);
    if (document.documentElement.scrollWidth > innerWidth) found.push("it scrolls sideways");
    if (matchMedia("(prefers-reduced-motion: reduce)").matches)
        for (const one of all("body *")) if (parseFloat(getComputedStyle(one).transitionDuration) > 0) found.push(`it moves: ${short(one)}`);
    return found;
}
