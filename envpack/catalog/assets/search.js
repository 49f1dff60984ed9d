"use strict";

// The index: a name filters the list of environments; a package finds the releases that contain it.
(() => {
  const { one, all, make, link, plain, say } = catalog;
  const PAGE = 100;
  const CHOICES = 12;

  // `numpy`, `numpy 1.26`, `numpy>=1.26,<2`
  function parse(text) {
    const [, name, rest] = /^\s*([\w.-]*)\s*(.*)$/.exec(text);
    const tests = [];
    for (const part of rest.split(",").map((piece) => piece.trim()).filter(Boolean)) {
      const [, sign, version] = /^(===?|!=|~=|>=|<=|>|<|=)?\s*(.*)$/.exec(part);
      tests.push([sign || "", version]);
    }
    return { name: plain(name), tests };
  }

  // PEP 440's order, near enough for conda's versions: epoch, numbers, then dev < a < b < rc < final < post.
  const STAGES = { dev: -4, a: -3, alpha: -3, b: -2, beta: -2, c: -1, rc: -1, pre: -1, preview: -1, post: 1, r: 1, rev: 1 };

  function parts(version) {
    const [, epoch, rest] = /^v?(?:(\d+)!)?(.*)$/.exec(version.toLowerCase());
    const [base, local] = rest.split("+", 2);
    const tokens = (base.match(/\d+|[a-z]+/g) || []).map((token) => (/\d/.test(token) ? Number(token) : token));
    const release = [];
    while (typeof tokens[0] === "number") release.push(tokens.shift());
    while (release.at(-1) === 0) release.pop();
    const stages = [];
    while (tokens.length) {
      const token = tokens.shift();
      const number = typeof tokens[0] === "number" ? tokens.shift() : 0;
      stages.push(typeof token === "number" ? [1, token] : [STAGES[token] ?? 2, number, token]);
    }
    return { epoch: Number(epoch || 0), release, stages, local: local || "" };
  }

  function compare(left, right) {
    const a = parts(left);
    const b = parts(right);
    if (a.epoch !== b.epoch) return a.epoch - b.epoch;
    for (let place = 0; place < Math.max(a.release.length, b.release.length); place += 1) {
      const difference = (a.release[place] || 0) - (b.release[place] || 0);
      if (difference) return difference;
    }
    for (let place = 0; place < Math.max(a.stages.length, b.stages.length); place += 1) {
      const [x, y] = [a.stages[place] || [0, 0, ""], b.stages[place] || [0, 0, ""]];
      if (x[0] !== y[0]) return x[0] - y[0];
      if (x[0] === 2 && x[2] !== y[2]) return x[2] < y[2] ? -1 : 1;
      if (x[1] !== y[1]) return x[1] - y[1];
    }
    return a.local === b.local ? 0 : a.local < b.local ? -1 : 1;
  }

  function fits(version, [sign, wanted]) {
    if (!wanted) return true;
    if (!sign) return version.includes(wanted);
    if (wanted.endsWith(".*")) {
      const within = version === wanted.slice(0, -2) || version.startsWith(wanted.slice(0, -1));
      return sign === "!=" ? !within : within;
    }
    const order = compare(version, wanted);
    switch (sign) {
      case ">=": return order >= 0;
      case "<=": return order <= 0;
      case ">": return order > 0;
      case "<": return order < 0;
      case "!=": return order !== 0;
      case "~=": {
        const head = wanted.split(".").slice(0, -1).join(".");
        return order >= 0 && (version === head || version.startsWith(`${head}.`));
      }
      default: return order === 0;
    }
  }

  const input = one("#q");
  const rows = all("#environments tbody tr");
  const names = rows.map((row) => row.dataset.name);
  let data = null;
  let chosen = null;
  let limit = PAGE;

  function filterEnvironments(text) {
    const wanted = text.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = !names[place].includes(wanted);
      shown += row.hidden ? 0 : 1;
    });
    const table = one("#environments");
    if (table) table.parentElement.hidden = !shown;
    return shown;
  }

  function found(name, tests) {
    const hits = [];
    for (const [version, runs] of data.byName.get(name)) {
      if (!tests.every((test) => fits(version, test))) continue;
      for (let place = 0; place < runs.length; place += 2) {
        for (let number = runs[place]; number < runs[place] + runs[place + 1]; number += 1) hits.push([number, version]);
      }
    }
    return hits.sort((a, b) => a[0] - b[0]);
  }

  function candidates(wanted) {
    if (wanted.length < 2) return data.byName.has(wanted) ? [wanted] : [];
    const exact = [];
    const begins = [];
    const inside = [];
    for (const [name] of data.packages) {
      const key = plain(name);
      if (key === wanted) exact.push(name);
      else if (key.startsWith(wanted)) begins.push(name);
      else if (key.includes(wanted)) inside.push(name);
    }
    return [...exact, ...begins, ...inside];
  }

  function row([number, version]) {
    const [environment, id, created, tags] = data.releases[number];
    const time = make("time", "", new Date(created).toISOString().slice(0, 16).replace("T", " "));
    const title = make("td", "first", link(`${environment}/${id}.html`, environment), make("span", "soft mono", ` @${id.slice(0, 8)}`));
    const marks = tags.map((tag) => make("span", tag === "latest" ? "tag latest" : "tag", tag));
    time.dateTime = created;
    return make("tr", "", title, make("td", "tags", ...marks), make("td", "mono", version), make("td", "soft", time));
  }

  function count(amount, what) {
    return `${amount} ${what}${amount === 1 ? "" : "s"}`;
  }

  function showPackage(name, tests) {
    const all = found(name, tests);
    const hits = one("#tagged").checked ? all.filter(([number]) => data.releases[number][3].length) : all;
    const environments = new Set(hits.map(([number]) => data.releases[number][0])).size;
    one("#found-title").textContent =
      `${count(hits.length, "release")} in ${count(environments, "environment")}`;
    one("#found-table tbody").replaceChildren(...hits.slice(0, limit).map(row));
    one("#found-name").textContent = name;
    one("#found-table").parentElement.hidden = !hits.length;
    const more = one("#found-more");
    more.hidden = hits.length <= limit;
    more.textContent = `Show all ${hits.length}`;
    return hits.length;
  }

  function choices(packages) {
    return packages.slice(0, CHOICES).map((name) => {
      const button = make("button", "", name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(name === chosen));
      button.addEventListener("click", () => {
        chosen = name;
        limit = PAGE;
        search();
      });
      return button;
    });
  }

  function search() {
    const text = input.value;
    const { name, tests } = parse(text);
    const shown = filterEnvironments(text);
    const packages = data && name ? candidates(name) : [];
    if (!packages.includes(chosen)) chosen = packages[0] ?? null;
    one("#found").hidden = !packages.length;
    one("#none").hidden = Boolean(shown || packages.length || !rows.length);
    const hits = packages.length ? showPackage(chosen, tests) : 0;
    one("#found-packages").replaceChildren(...(packages.length ? choices(packages) : []));
    say(text ? `${count(shown, "environment")}, ${count(hits, "release")}` : "");
    history.replaceState(null, "", text ? `#q=${encodeURIComponent(text)}` : location.pathname + location.search);
  }

  function asked() {
    const typed = new URLSearchParams(location.search).get("q");
    const linked = /^#q=(.*)$/.exec(location.hash);
    return typed ?? (linked ? decodeURIComponent(linked[1]) : "");
  }

  function begin() {
    input.value = asked();
    if (input.value) search();
  }

  input.addEventListener("input", () => {
    limit = PAGE;
    search();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      input.value = "";
      search();
    }
  });
  one("#search").addEventListener("submit", (event) => {
    event.preventDefault();
    const first = all("#environments tbody tr:not([hidden]) a, #found-table tbody a").find((a) => a.checkVisibility());
    if (input.value && first) location.href = first.href;
  });
  one("#tagged").addEventListener("change", search);
  one("#found-more").addEventListener("click", () => {
    limit = Infinity;
    search();
  });

  begin();
  catalog.when("packages", (value) => {
    data = { ...value, byName: new Map(value.packages) };
    document.documentElement.dataset.ready = Math.round(performance.now()); // for whoever waits for it
    if (input.value) search();
  });
  catalog.versions = { compare, fits };
})();
