"use strict";

// Two releases of one environment, side by side.
(() => {
  const { one, make, link, load, size, say } = catalog;
  const [a, b] = [one("#a"), one("#b")];
  const place = one("#differences");
  const releases = new Map();
  const TARGET = { platform: "Platform", spark: "Spark", cuda: "CUDA" };
  const FIELDS = ["name", "version", "build", "source", "size", "license", "sha256"];

  // Only what the list offers is loaded, whatever the address says.
  async function release(id) {
    if (!releases.has(id)) {
      const value = await load(`${id}.js`, `release/${id}`);
      const packages = value.packages.map((row) => Object.fromEntries(FIELDS.map((field, at) => [field, row[at]])));
      releases.set(id, { ...value, packages: new Map(packages.map((entry) => [entry.name, entry])) });
    }
    return releases.get(id);
  }

  function table(heads, rows, className) {
    const head = make("tr", "", ...heads.map((text) => make("th", "", text)));
    const body = rows.map(([kind, ...cells]) => make("tr", kind, ...cells.map((cell) => make("td", "", ...[cell].flat()))));
    const made = make("table", className, make("thead", "", head), make("tbody", "", ...body));
    return make("div", "table", made);
  }

  const soft = (text) => make("span", "soft", text);
  const signed = (amount) => (amount ? `${amount > 0 ? "+" : "−"}${size(Math.abs(amount))}` : "±0");

  function packageRows(before, after) {
    const names = [...new Set([...before.keys(), ...after.keys()])].sort();
    const rows = { mod: [], add: [], del: [] };
    for (const name of names) {
      const [old, now] = [before.get(name), after.get(name)];
      if (!old) rows.add.push(["add", name, soft("added"), now.version, change(0, now.size)]);
      else if (!now) rows.del.push(["del", name, old.version, soft("removed"), change(old.size, 0)]);
      else if (old.sha256 !== now.sha256) {
        const same = old.version === now.version;
        const detail = (entry) => (same ? [entry.version, soft(` ${entry.build || entry.source}`)] : entry.version);
        rows.mod.push(["mod", name, detail(old), same ? [...detail(now), soft(", other bytes")] : detail(now), change(old.size, now.size)]);
      }
    }
    return rows;
  }

  const change = (old, now) => (old === null || now === null ? "" : signed(now - old));

  function facts(before, after) {
    const rows = [
      ["Archive", size(before.size), size(after.size), signed(after.size - before.size)],
      ["Unpacked", size(before.unpacked), size(after.unpacked), signed(after.unpacked - before.unpacked)],
      ["Files", String(before.members), String(after.members), ""],
      ["Python", before.python, after.python, ""],
    ];
    for (const name of new Set([...Object.keys(before.target), ...Object.keys(after.target)])) {
      rows.push([TARGET[name] ?? name, before.target[name] ?? "", after.target[name] ?? "", ""]);
    }
    return rows.map(([name, old, now, delta]) => [old === now ? "" : "mod", name, old, now, delta]);
  }

  function variableRows(before, after) {
    const [old, now] = [new Map(before), new Map(after)];
    return [...new Set([...old.keys(), ...now.keys()])].sort().filter((name) => old.get(name) !== now.get(name)).map((name) => [
      old.has(name) ? (now.has(name) ? "mod" : "del") : "add", name, old.get(name) ?? soft("not set"), now.get(name) ?? soft("not set"),
    ]);
  }

  function requestRows(before, after) {
    const gone = before.filter((line) => !after.includes(line)).map((line) => ["del", line, soft("removed")]);
    return [...gone, ...after.filter((line) => !before.includes(line)).map((line) => ["add", line, soft("added")])];
  }

  function section(title, ...content) {
    return content.length ? [make("h2", "", title), ...content] : [];
  }

  function show(before, after) {
    const rows = packageRows(before.packages, after.packages);
    const changed = [...rows.mod, ...rows.add, ...rows.del];
    const counts = `${rows.mod.length} changed, ${rows.add.length} added, ${rows.del.length} removed`;
    const variables = variableRows(before.variables, after.variables);
    const requests = requestRows(before.requested, after.requested);
    const heads = [[soft("A "), link(`${before.id}.html`, before.id.slice(0, 8), "mono")], [soft("B "), link(`${after.id}.html`, after.id.slice(0, 8), "mono")]];
    const named = (first, last) => [[first], ...heads, ...(last === undefined ? [] : [[last]])];
    const filled = (first, last) => named(first, last).map((parts) => make("span", "", ...parts.map((part) => (part instanceof Node ? part.cloneNode(true) : part))));
    place.replaceChildren(
      ...section("Environment", table(filled("Fact", "Growth"), facts(before, after), "changes")),
      ...section(`Packages: ${counts}`, ...(changed.length ? [table(filled("Package", "Download"), changed, "changes")] : [])),
      ...(variables.length ? section("Variables", table(filled("Name"), variables, "changes")) : []),
      ...(requests.length ? section("Requested", table(["Line", "Change"], requests, "changes")) : []),
    );
    say(counts);
  }

  async function update() {
    history.replaceState(null, "", `?a=${a.value}&b=${b.value}`);
    const wanted = [a.value, b.value];
    try {
      const [before, after] = [await release(wanted[0]), await release(wanted[1])];
      if (wanted[0] === a.value && wanted[1] === b.value) show(before, after);
    } catch (error) {
      place.replaceChildren(make("p", "refusal", `${error.message} cannot be loaded.`));
    }
  }

  function begin() {
    const asked = new URLSearchParams(location.search);
    const offered = (select, id) => [...select.options].some((option) => option.value === id);
    b.selectedIndex = 0;
    a.selectedIndex = Math.min(1, a.options.length - 1);
    if (offered(a, asked.get("a"))) a.value = asked.get("a");
    if (offered(b, asked.get("b"))) b.value = asked.get("b");
    update();
  }

  for (const select of [a, b]) select.addEventListener("change", update);
  one("#compare").addEventListener("submit", (event) => event.preventDefault());
  one("#swap").addEventListener("click", () => {
    [a.value, b.value] = [b.value, a.value];
    update();
  });
  begin();
})();
