/** A grid of photos of which only those on the screen are elements, so that many thousands scroll smoothly. A listbox:
 * arrows move, Shift and arrows select, Space selects one, Ctrl+A all, Enter shows it large, Delete puts it into the bin. */

import { h } from "./ui.js";

const LEAST = 108; // the side of a square, CSS pixels
const GAP = 6;
const SPARE_ROWS = 3;

export class PhotoGrid {
  #photos = [];
  #cells = new Map();
  #columns = 1;
  #side = LEAST;
  #anchor = 0;
  #wanted = false;

  /** `does` has: label (of the listbox), describe(photo), marks(photo), picture(photo), opened(photo), binned(), chosen(set). */
  constructor(does) {
    this.does = does;
    this.selected = new Set();
    this.focused = 0;
    this.all = h("div", { class: "all" });
    this.root = h("div", { class: "photos", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": does.label }, this.all);
    this.root.onscroll = () => this.#draw();
    this.root.onfocus = this.root.onblur = () => this.#mark();
    this.root.onkeydown = (event) => this.#key(event);
    this.root.onclick = (event) => this.#click(event);
    this.root.ondblclick = (event) => this.#at(event) >= 0 && this.does.opened(this.#photos[this.#at(event)]);
    this.observer = new ResizeObserver(() => this.#lay());
    this.observer.observe(this.root);
  }

  get photos() {
    return this.#photos;
  }

  /** Shows these photos; those that are still there stay selected. */
  show(photos) {
    this.#photos = photos;
    const names = new Set(photos.map((one) => one.name));
    this.selected = new Set([...this.selected].filter((name) => names.has(name)));
    this.focused = Math.max(0, Math.min(this.focused, photos.length - 1));
    this.#cells.forEach((cell) => cell.remove());
    this.#cells.clear();
    this.#lay();
    this.does.chosen(this.selected);
  }

  select(names) {
    this.selected = new Set(names);
    this.#changed();
  }

  close() {
    this.observer.disconnect();
  }

  #lay() {
    const width = this.root.clientWidth - 2 * GAP;
    if (width <= 0) return;
    this.#columns = Math.max(2, Math.floor((width + GAP) / (LEAST + GAP)));
    this.#side = (width - GAP * (this.#columns - 1)) / this.#columns;
    this.all.style.height = `${Math.ceil(this.#photos.length / this.#columns) * (this.#side + GAP) + GAP}px`;
    this.#cells.forEach((cell, place) => this.#put(cell, place));
    this.#draw();
  }

  #draw() {
    if (this.#wanted) return;
    this.#wanted = true;
    requestAnimationFrame(() => {
      this.#wanted = false;
      const step = this.#side + GAP;
      const first = Math.max(0, Math.floor(this.root.scrollTop / step) - SPARE_ROWS) * this.#columns;
      const rows = Math.ceil(this.root.clientHeight / step) + 2 * SPARE_ROWS;
      const last = Math.min(this.#photos.length, first + rows * this.#columns);
      for (const [place, cell] of this.#cells) {
        if (place < first || place >= last) {
          cell.remove();
          this.#cells.delete(place);
        }
      }
      for (let place = first; place < last; place++) if (!this.#cells.has(place)) this.#add(place);
      this.#mark();
    });
  }

  #add(place) {
    const photo = this.#photos[place];
    const marks = this.does.marks(photo);
    const cell = h(
      "div",
      { class: "photo", role: "option", id: `photo-${place}`, "data-place": place, "aria-setsize": this.#photos.length, "aria-posinset": place + 1, "aria-label": this.does.describe(photo) },
      h("img", { src: this.does.picture(photo), alt: "", decoding: "async", draggable: "false" }),
      marks.length > 0 && h("span", { class: "marks" }, marks),
    );
    this.#put(cell, place);
    this.#cells.set(place, cell);
    this.all.append(cell);
  }

  #put(cell, place) {
    const step = this.#side + GAP;
    cell.style.width = cell.style.height = `${this.#side}px`;
    cell.style.left = `${GAP + (place % this.#columns) * step}px`;
    cell.style.top = `${GAP + Math.floor(place / this.#columns) * step}px`;
  }

  #mark() {
    const active = document.activeElement === this.root;
    for (const [place, cell] of this.#cells) {
      cell.setAttribute("aria-selected", String(this.selected.has(this.#photos[place].name)));
      cell.classList.toggle("focus", active && place === this.focused);
    }
    if (this.#cells.has(this.focused)) this.root.setAttribute("aria-activedescendant", `photo-${this.focused}`);
    else this.root.removeAttribute("aria-activedescendant");
  }

  #changed() {
    this.#mark();
    this.does.chosen(this.selected);
  }

  #at(event) {
    const cell = event.target.closest("[data-place]");
    return cell ? Number(cell.dataset.place) : -1;
  }

  #click(event) {
    const place = this.#at(event);
    if (place < 0) return;
    this.focused = place;
    if (event.shiftKey) this.#range(this.#anchor, place);
    else this.#toggle(place);
  }

  #toggle(place) {
    const { name } = this.#photos[place];
    if (!this.selected.delete(name)) this.selected.add(name);
    this.#anchor = place;
    this.#changed();
  }

  #range(from, to) {
    for (let place = Math.min(from, to); place <= Math.max(from, to); place++) this.selected.add(this.#photos[place].name);
    this.#changed();
  }

  #key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.#columns, ArrowUp: -this.#columns, PageDown: 4 * this.#columns, PageUp: -4 * this.#columns, Home: -1e9, End: 1e9 };
    const n = this.#photos.length;
    if (!n) return;
    if (event.key in steps) {
      const before = this.focused;
      this.focused = Math.max(0, Math.min(n - 1, before + steps[event.key]));
      if (event.shiftKey) this.#range(before, this.focused);
      this.#reveal();
    } else if (event.key === " ") this.#toggle(this.focused);
    else if (event.key === "Enter") this.does.opened(this.#photos[this.focused]);
    else if ((event.ctrlKey || event.metaKey) && event.key === "a") this.select(this.#photos.map((one) => one.name));
    else if (event.key === "Escape") this.select([]);
    else if (event.key === "Delete" || event.key === "Backspace") {
      if (!this.selected.size) this.selected.add(this.#photos[this.focused].name);
      this.does.binned();
    } else return;
    event.preventDefault();
  }

  #reveal() {
    const step = this.#side + GAP, top = Math.floor(this.focused / this.#columns) * step;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + step + GAP > this.root.scrollTop + this.root.clientHeight) this.root.scrollTop = top + step + GAP - this.root.clientHeight;
    this.#draw();
    this.#mark();
  }
}
