"use strict";

// What every page uses. Values from manifests are only ever set as text.
const catalog = (() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const taken = {};
  const waiting = {};

  document.documentElement.classList.add("js");

  // Data comes as scripts that call `take`: a page opened from a folder may not fetch anything.
  function take(kind, value) {
    taken[kind] = value;
    (waiting[kind] || []).splice(0).forEach((then) => then(value));
  }

  function when(kind, then) {
    if (kind in taken) then(taken[kind]);
    else (waiting[kind] ||= []).push(then);
  }

  function load(path, kind) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = path;
      script.onload = () => resolve(taken[kind]);
      script.onerror = () => reject(new Error(path));
      document.head.append(script);
    });
  }

  // make("td", "soft", "text", child, ...)
  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  }

  function link(href, text, className) {
    const element = make("a", className, text);
    element.href = href;
    return element;
  }

  function size(amount) {
    for (const unit of ["B", "kB", "MB"]) {
      if (Math.abs(amount) < 1000) return unit === "B" ? `${amount} B` : `${amount.toFixed(1)} ${unit}`;
      amount /= 1000;
    }
    return `${amount.toFixed(2)} GB`;
  }

  // Project names differ in case and in - _ . without being different.
  const plain = (name) => name.toLowerCase().replace(/[-_.]+/g, "-");

  const say = (text) => { one("#said").textContent = text; };

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const done = await toClipboard(source.textContent);
    if (!done) getSelection().selectAllChildren(source);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    button.classList.toggle("done", done);
    say(done ? "Copied" : "Selected: press Ctrl+C");
    setTimeout(() => {
      button.textContent = "Copy";
      button.classList.remove("done");
    }, 1600);
  }

  async function toClipboard(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return byCommand(text);
    }
  }

  // Where there is no clipboard interface, as on plain http.
  function byCommand(text) {
    const area = make("textarea", "hidden-text");
    const before = document.activeElement;
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    document.body.append(area);
    area.select();
    let done = false;
    try {
      done = document.execCommand("copy");
    } catch {
      done = false;
    }
    area.remove();
    before?.focus();
    return done;
  }

  // A list of links with a section each becomes tabs; the launcher that was last looked at stays chosen.
  function tabs(rail) {
    const links = all("a", rail);
    const panels = links.map((tab) => one(tab.getAttribute("href")));
    rail.setAttribute("role", "tablist");
    rail.setAttribute("aria-label", "Launchers");
    rail.setAttribute("aria-orientation", "vertical");
    links.forEach((tab, place) => {
      tab.parentElement.setAttribute("role", "presentation");
      tab.setAttribute("role", "tab");
      tab.id = `tab-${panels[place].id}`;
      tab.setAttribute("aria-controls", panels[place].id);
      panels[place].setAttribute("role", "tabpanel");
    });
    const choose = (place, focus) => {
      links.forEach((tab, other) => {
        tab.setAttribute("aria-selected", String(other === place));
        tab.tabIndex = other === place ? 0 : -1;
        panels[other].hidden = other !== place;
      });
      if (focus) links[place].focus();
    };
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
    rail.addEventListener("click", (event) => {
      const place = links.indexOf(event.target.closest("a"));
      if (place < 0) return;
      event.preventDefault();
      choose(place, true);
      keep("launcher", panels[place].id);
      history.replaceState(null, "", `#${panels[place].id}`);
    });
    rail.addEventListener("keydown", (event) => {
      const place = links.indexOf(document.activeElement);
      const target = { Home: 0, End: links.length - 1 }[event.key] ?? place + (steps[event.key] || 0);
      if (event.key === " ") {
        event.preventDefault();
        links[place].click();
      } else if (target !== place) {
        event.preventDefault();
        choose((target + links.length) % links.length, true);
        keep("launcher", panels[(target + links.length) % links.length].id);
      }
    });
    const named = (name) => panels.findIndex((panel) => panel.id === name);
    const asked = named(location.hash.slice(1));
    choose(Math.max(0, asked < 0 ? named(kept("launcher")) : asked), false);
    addEventListener("hashchange", () => {
      const place = named(location.hash.slice(1));
      if (place >= 0) choose(place, false);
    });
  }

  function keep(name, value) {
    try {
      localStorage.setItem(`envpack-${name}`, value);
    } catch {
      // Nothing is remembered where the browser forbids it.
    }
  }

  function kept(name) {
    try {
      return localStorage.getItem(`envpack-${name}`);
    } catch {
      return null;
    }
  }

  function filter(input) {
    const rows = all("tbody tr", document.getElementById(input.dataset.filter));
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      say(`${shown} shown`);
    });
  }

  function sortable(table) {
    all("th", table).forEach((head, column) => {
      const button = make("button", "", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const number = head.classList.contains("number");
        const first = number ? "descending" : "ascending";
        const second = number ? "ascending" : "descending";
        const direction = head.getAttribute("aria-sort") === first ? second : first;
        all("th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction);
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const order = number ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b));
        const rows = [...table.tBodies[0].rows].sort(order);
        table.tBodies[0].append(...(direction === "ascending" ? rows : rows.reverse()));
      });
    });
  }

  const AGES = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];

  // Dates say how old they are when the pointer rests on them.
  function age(element) {
    const seconds = (Date.parse(element.dateTime) - Date.now()) / 1000;
    const [unit, length] = AGES.find(([, limit]) => Math.abs(seconds) >= limit) || ["minute", 60];
    const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / length), unit);
    element.title = `${element.dateTime}, ${words}`;
  }

  function start() {
    all("button.copy").forEach((button) => button.addEventListener("click", () => copy(button)));
    all(".rail").forEach(tabs);
    all("input[data-filter]").forEach(filter);
    all("table.sortable").forEach(sortable);
    all("time").forEach(age);
    addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      const search = one('input[type="search"]');
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    });
  }

  start();
  return { one, all, take, when, load, make, link, size, plain, say };
})();
